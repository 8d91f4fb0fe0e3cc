"""Asks an appliance's models with tritonclient, the public client of the Open Inference Protocol, by every way that it has.

    conformance.py REST_ADDRESS GRPC_ADDRESS EXPECTED.json

EXPECTED.json holds {"model", "champion", "other", "windows", "value", "risk"}: the name of a model, its live version and one that is not loaded, windows as
[n, length, channels] and what the live version says to them, [n] each. Exits 1 with the first answer that differs from the protocol or from those numbers.
"""

import asyncio
import json
import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException

rest, rpc = sys.argv[1:3]
with open(sys.argv[3]) as f:
    expected = json.load(f)
model, champion, other = expected["model"], expected["champion"], expected["other"]
windows = np.array(expected["windows"], np.float32)
n, length, channels = windows.shape
checks = 0


def check(what, condition, *facts):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"{what}: {facts}")


def near(what, result, names=("value", "risk")):
    for name in names:
        got = result.as_numpy(name)
        check(what, got is not None and got.dtype == np.float32 and got.shape == (n, 1), name, got)
        want = np.array(expected[name], np.float32)
        check(what, np.allclose(got[:, 0], want, atol=1e-5), name, got[:, 0], want)


def refused(what, says, f):
    try:
        f()
    except InferenceServerException as e:
        check(what, says in e.message(), e.message())
    else:
        check(what, False, "was not refused")


def tensor(module, data=windows, datatype="FP32", **how):
    t = module.InferInput("window", list(data.shape), datatype)
    t.set_data_from_numpy(data, **how)
    return t


def common(module, c):
    """What both protocols have."""
    is_http = module is http

    def field(m, *path):
        for p in path:
            m = m[p] if is_http or isinstance(p, int) else getattr(m, p)
        return m

    check("live", c.is_server_live())
    check("ready", c.is_server_ready())
    check("model ready", c.is_model_ready(model) and c.is_model_ready(model, champion))
    check("model not ready", not c.is_model_ready(model, other))
    check("server metadata", field(c.get_server_metadata(), "name") == "andon")
    m = c.get_model_metadata(model)
    check("metadata", field(m, "name") == model and {champion, other} <= set(field(m, "versions")), m)
    check("input", [int(d) for d in field(m, "inputs", 0, "shape")] == [-1, length, channels] and field(m, "inputs", 0, "datatype") == "FP32", m)
    check("outputs", [field(o, "name") for o in field(m, "outputs")] == ["value", "risk"], m)
    conf = c.get_model_config(model)
    conf = conf if is_http else field(conf, "config")
    check("config", [int(d) for d in field(conf, "input", 0, "dims")] == [length, channels], conf)

    def index():
        i = c.get_model_repository_index()
        return {field(e, "version"): field(e, "state") for e in (i if is_http else i.models) if field(e, "name") == model}

    check("index", index()[champion] == "READY" and index()[other] == "UNAVAILABLE", index())
    refused("unload the champion", "promote another version first", lambda: c.unload_model(model))
    refused("load a stranger", "no model", lambda: c.load_model("no-such-model"))
    c.load_model(model)
    c.load_model(model, config=json.dumps({"version_policy": {"specific": {"versions": [other]}}}))
    check("loaded", index()[other] == "READY" and c.is_model_ready(model, other), index())
    r = c.infer(model, [tensor(module)], model_version=other)
    check("other version", not np.allclose(r.as_numpy("value")[:, 0], expected["value"], atol=1e-5))

    near("infer", c.infer(model, [tensor(module)]))
    near("infer by version", c.infer(model, [tensor(module)], model_version=champion))
    r = c.infer(model, [tensor(module)], request_id="r-1", outputs=[module.InferRequestedOutput("risk")], timeout=5_000_000, priority=1)
    near("one output", r, ["risk"])
    check("only what was asked for", r.as_numpy("value") is None)
    head = r.get_response()
    check("id", field(head, "id") == "r-1" and field(head, "model_version") == champion, head)

    refused("shape", "the model takes FP32", lambda: c.infer(model, [tensor(module, windows[:, :-1])]))
    refused("datatype", "FP64", lambda: c.infer(model, [tensor(module, windows.astype(np.float64), "FP64")]))
    refused("text", "BYTES", lambda: c.infer(model, [tensor(module, np.array([["a"]], np.object_), "BYTES")]))
    refused("model", "no model", lambda: c.infer("no-such-model", [tensor(module)]))
    refused("output", "no output", lambda: c.infer(model, [tensor(module)], outputs=[module.InferRequestedOutput("speed")]))
    refused("classification", "not served", lambda: c.infer(model, [tensor(module)], outputs=[module.InferRequestedOutput("risk", class_count=2)]))
    nan = windows.copy()
    nan[0, 1, 0] = np.nan
    refused("NaN", "[0,1,0] is NaN", lambda: c.infer(model, [tensor(module, nan)]))

    s = field(c.get_inference_statistics(model, champion), "model_stats", 0)
    check("statistics", int(field(s, "inference_count")) >= 3 * n and int(field(s, "inference_stats", "success", "count")) >= 3, s)
    check("statistics", int(field(s, "inference_stats", "compute_infer", "ns")) > 0 and len(field(s, "batch_stats")) > 0, s)
    check("all statistics", len(field(c.get_inference_statistics(), "model_stats")) >= 1)


with http.InferenceServerClient(rest, concurrency=4) as c:
    common(http, c)
    near("numbers", c.infer(model, [tensor(http, binary_data=False)], outputs=[http.InferRequestedOutput(o, binary_data=False) for o in ("value", "risk")]))
    near("numbers in, bytes out", c.infer(model, [tensor(http, binary_data=False)]))
    for packing in ("gzip", "deflate"):
        near(packing, c.infer(model, [tensor(http, binary_data=False)], outputs=[http.InferRequestedOutput(o, binary_data=False) for o in ("value", "risk")],
                              request_compression_algorithm=packing, response_compression_algorithm=packing))
        near(packing, c.infer(model, [tensor(http)], request_compression_algorithm=packing, response_compression_algorithm=packing))
    for r in [c.async_infer(model, [tensor(http)]) for _ in range(8)]:
        near("async", r.get_result())
    refused("shared memory", "not served", lambda: c.get_system_shared_memory_status())
    # How the protocol names raw units: the recipe's scale is applied by the server.
    props = c.get_model_metadata(model)["properties"]
    if "mean" in props:
        raw = windows * np.array(json.loads(props["std"])) + np.array(json.loads(props["mean"]))
        near("raw units", c.infer(model, [tensor(http, raw.astype(np.float32))], parameters={"scaled": False}))
    check("channels", len(json.loads(props["channels"])) == channels, props)

with grpc.InferenceServerClient(rpc) as c:
    # The other version was loaded over REST: let it go as a gRPC client must, by the stub, for the client has no argument for a version.
    version = grpc.service_pb2.ModelRepositoryParameter(string_param=other)
    c._client_stub.RepositoryModelUnload(grpc.service_pb2.RepositoryModelUnloadRequest(model_name=model, parameters={"version": version}))
    common(grpc, c)
    answers = queue.Queue()
    for _ in range(8):
        c.async_infer(model, [tensor(grpc)], callback=lambda result, error: answers.put((result, error)))
    c.start_stream(callback=lambda result, error: answers.put((result, error)))
    for _ in range(8):
        c.async_stream_infer(model, [tensor(grpc)])
    for _ in range(16):
        result, error = answers.get(timeout=30)
        check("async, stream", error is None, error)
        near("async, stream", result)
    c.stop_stream()
    for packing in ("gzip", "deflate"):
        near(packing, c.infer(model, [tensor(grpc)], compression_algorithm=packing))
    refused("trace", "unknown method", lambda: c.get_trace_settings())


async def concurrently():
    async with http_aio.InferenceServerClient(rest) as c:
        for r in await asyncio.gather(*[c.infer(model, [tensor(http_aio)]) for _ in range(16)]):
            near("http.aio", r)
    async with grpc_aio.InferenceServerClient(rpc) as c:
        for r in await asyncio.gather(*[c.infer(model, [tensor(grpc_aio)]) for _ in range(16)]):
            near("grpc.aio", r)


asyncio.run(concurrently())
print(f"{checks} checks hold")
