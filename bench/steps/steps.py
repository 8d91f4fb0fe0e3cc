"""Optimiser steps by PyTorch, one thread. Reads a line of JSON ({"kind": ..., "way": ..., "seconds": CPU seconds}) and answers each with one: steps and the CPU seconds that they took.

Ways: "plain" is what a tutorial has (Adam as it comes, pictures as [batch, channels, height, width]); "best" is PyTorch's own fastest (fused Adam, pictures channels last).
"""
import json
import sys
import time

import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(1)


class Recurrent(nn.Module):
    def __init__(self, kind, width, hidden, layers):
        super().__init__()
        self.layers = kind(width, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.layers(x)[0][:, -1])


def convolutional():
    parts, before = [], 3
    for channels in (16, 32, 64, 128):
        parts += [nn.Conv2d(before, channels, 3, 2, 1), nn.ReLU()]
        before = channels
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def make(kind, way):
    best = way == "best"
    if kind == "cnn":
        net, x, y = convolutional(), torch.rand(32, 3, 64, 64), torch.randint(0, 10, (32,))
        if best:
            net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
        loss, scale = nn.CrossEntropyLoss(), lambda x: (x - 0.5) / 0.2
    else:
        length, width, hidden, layers, batch = (64, 16, 64, 1, 32) if kind.endswith("64") else (30, 29, 32, 2, 64)
        net = Recurrent(nn.GRU if kind.startswith("gru") else nn.LSTM, width, hidden, layers)
        x, y = torch.rand(batch, length, width), torch.rand(batch, 1)
        loss, scale = nn.MSELoss(), lambda x: x
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, fused=best)

    def step():
        adam.zero_grad()
        loss(net(scale(x)), y).backward()
        adam.step()

    for _ in range(5):
        step()
    return step


made = {}
print(json.dumps({"version": torch.__version__}), flush=True)
for line in sys.stdin:
    q = json.loads(line)
    key = q["kind"], q["way"]
    step = made[key] = made.get(key) or make(*key)
    steps, began = 0, time.process_time()
    while time.process_time() - began < q["seconds"]:
        step()
        steps += 1
    print(json.dumps({"steps": steps, "seconds": time.process_time() - began}), flush=True)
