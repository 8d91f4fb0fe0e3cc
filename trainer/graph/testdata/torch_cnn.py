"""Writes torch_cnn.json: 20 steps of AdamW with clipped gradients on a small convolutional classifier with one residual block, by PyTorch in float64.

    pip install torch && python torch_cnn.py > torch_cnn.json
"""
import json
import torch
from torch.nn.functional import conv2d, cross_entropy, linear, relu

STEPS, BATCH, CHANNELS, SIDE, CLASSES = 20, 5, 2, 9, 3
WEIGHTS = [1.0, 2.0, 0.5]
SHAPES = [(4, CHANNELS, 3, 3), (4,), (6, 4, 3, 3), (6,), (6, 6, 3, 3), (6,), (CLASSES, 6), (CLASSES,)]
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


params = [torch.nn.Parameter(numbers(*s) * 0.5) for s in SHAPES]


def net(x):
    y = relu(conv2d(x, params[0], params[1], stride=2, padding=1))
    y = relu(conv2d(y, params[2], params[3], stride=2, padding=1))
    y = relu(y + conv2d(y, params[4], params[5], padding=1))
    return linear(y.mean((2, 3)), params[6], params[7])


opt = torch.optim.AdamW(params, lr=0.005, weight_decay=0.1)
losses = []
for _ in range(STEPS):
    x, labels = numbers(BATCH, CHANNELS, SIDE, SIDE), [int((v + 1) * CLASSES / 2) for v in numbers(BATCH).tolist()]
    opt.zero_grad()
    loss = cross_entropy(net(x), torch.tensor(labels), weight=torch.tensor(WEIGHTS))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(params, 0.5)
    opt.step()
    losses.append(loss.item())
json.dump({"torch": torch.__version__, "steps": STEPS, "batch": BATCH, "channels": CHANNELS, "side": SIDE, "classes": CLASSES, "weights": WEIGHTS,
           "shapes": SHAPES, "rate": 0.005, "decay": 0.1, "clip": 0.5, "losses": losses,
           "params": torch.cat([p.detach().flatten() for p in params]).tolist()}, __import__("sys").stdout, indent=None)
print()
