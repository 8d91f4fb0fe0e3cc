"""Writes torch_steps.json: 30 steps of AdamW with clipped gradients on two GRU layers and a linear one, by PyTorch in float64.

    pip install torch && python torch_steps.py > torch_steps.json
"""
import json
import torch

STEPS, BATCH, TIME, FEATURES, HIDDEN = 30, 6, 9, 3, 5
torch.set_default_dtype(torch.float64)

state = 1


def numbers(*shape):
    """A generator simple enough to be written again in any language: x' = 48271 x mod (2^31 - 1), scaled to [-1, 1)."""
    global state
    out = []
    for _ in range(int(torch.tensor(shape).prod())):
        state = state * 48271 % 2147483647
        out.append(float(torch.tensor(state / 2147483647 * 2 - 1, dtype=torch.float32)))
    return torch.tensor(out).reshape(shape)


def to_torch(v, h):
    """ONNX's gates are update, reset, new; torch's reset, update, new."""
    return torch.cat([v[h:2 * h], v[:h], v[2 * h:]])


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(FEATURES, HIDDEN, num_layers=2)
        self.head = torch.nn.Linear(HIDDEN, 1)

    def forward(self, x):
        return self.head(self.gru(x)[0][-1])


net = Net()
with torch.no_grad():
    for layer, features in ((0, FEATURES), (1, HIDDEN)):
        for name, rows in (("weight_ih", features), ("weight_hh", HIDDEN), ("bias_ih", None), ("bias_hh", None)):
            v = numbers(3 * HIDDEN, rows) if rows else numbers(3 * HIDDEN)
            getattr(net.gru, f"{name}_l{layer}").copy_(to_torch(v, HIDDEN))
    net.head.weight.copy_(numbers(1, HIDDEN))
    net.head.bias.copy_(numbers(1))
opt = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
losses = []
for _ in range(STEPS):
    x, y = numbers(TIME, BATCH, FEATURES), numbers(BATCH, 1)
    opt.zero_grad()
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    opt.step()
    losses.append(loss.item())
params = []
with torch.no_grad():
    for layer in (0, 1):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            params += to_torch(getattr(net.gru, f"{name}_l{layer}"), HIDDEN).flatten().tolist()
    params += net.head.weight.flatten().tolist() + net.head.bias.tolist()
json.dump({"torch": torch.__version__, "steps": STEPS, "batch": BATCH, "time": TIME, "features": FEATURES, "hidden": HIDDEN,
           "rate": 0.01, "decay": 0.1, "clip": 0.5, "losses": losses, "params": params}, __import__("sys").stdout, indent=None)
print()
