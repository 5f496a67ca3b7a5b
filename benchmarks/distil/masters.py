"""How the student's parameters change: float32 masters of a model in a faster type, AdamW for most of them and Muon for the blocks' matrices."""

import torch
from torch import Tensor, nn

from benchmarks.distil.arithmetic import MULTIPLIED_IN

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the fifth-order iteration
ITERATIONS = 5
LIKE_ADAM = 0.2  # root mean square of one AdamW update, to which an orthogonal one is scaled


class Masters:
    """Float32 copies of the parameters of a model that computes in `computed_in`: they are what is changed and what is kept.

    Matrices inside the blocks take orthogonalised steps: Muon, Jordan et al. 2024 (kellerjordan.github.io/posts/muon), scaled as in Liu et al. 2025,
    "Muon is scalable for LLM training" (arXiv 2502.16982, section 2.2), so that one learning rate and one weight decay serve both.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.98),
        computed_in: torch.dtype = MULTIPLIED_IN,
    ) -> None:
        self.names = [name for name, _ in model.named_parameters()]
        self.values = [value.detach().clone().float() for value in model.parameters()]
        self._live = list(model.to(computed_in).parameters())
        self._weight_decay = weight_decay
        self._computed_in = computed_in
        named = enumerate(zip(self.names, self.values, strict=True))
        self._matrices = [i for i, (name, value) in named if "blocks." in name and value.ndim == 2]
        others = [v for i, v in enumerate(self.values) if i not in self._matrices]
        groups = [
            {"params": [v for v in others if v.ndim > 1], "weight_decay": weight_decay},
            {"params": [v for v in others if v.ndim == 1], "weight_decay": 0.0},
        ]
        self._adam = torch.optim.AdamW(groups, betas=betas, fused=True)
        self._momenta = {i: torch.zeros_like(self.values[i]) for i in self._matrices}

    def step(self, learning_rate: float, largest_norm: float = 1.0) -> None:
        """One step from the gradients of the model, whose parameters then follow."""
        for master, live in zip(self.values, self._live, strict=True):
            master.grad = live.grad.float() if live.grad is not None else None
            live.grad = None
        nn.utils.clip_grad_norm_(self.values, largest_norm)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._orthogonal_step(learning_rate)
        self.follow()

    def _orthogonal_step(self, learning_rate: float) -> None:
        """Muon for the matrices, those of one shape at once; `qkv` counts as three."""
        by_shape: dict[tuple[int, int], list[tuple[int, Tensor]]] = {}
        for i in self._matrices:
            gradient = self.values[i].grad
            if gradient is None:
                continue
            self._momenta[i].mul_(MOMENTUM).add_(gradient)
            ahead = gradient.add(self._momenta[i], alpha=MOMENTUM)
            for part in ahead.chunk(3) if ".qkv." in self.names[i] else [ahead]:
                wide = part if part.shape[0] <= part.shape[1] else part.T
                by_shape.setdefault((wide.shape[0], wide.shape[1]), []).append((i, wide))
        steps: dict[int, list[Tensor]] = {}
        for (_, columns), parts in by_shape.items():
            straight = orthogonal(torch.stack([part for _, part in parts]), self._computed_in) * LIKE_ADAM * columns**0.5
            for (i, _), update in zip(parts, straight, strict=True):
                steps.setdefault(i, []).append(update)
        with torch.no_grad():
            for i, updates in steps.items():
                value = self.values[i]
                update = torch.cat([u if u.shape[1] == value.shape[1] else u.T for u in updates])
                value.mul_(1 - learning_rate * self._weight_decay).sub_(update, alpha=learning_rate)

    def follow(self) -> None:
        """Bring the model's parameters to the masters."""
        with torch.no_grad():
            torch._foreach_copy_(self._live, self.values)

    def state(self) -> dict[str, Tensor]:
        """Masters, and what the next step needs of the earlier ones, under plain names."""
        tensors = dict(zip(self.names, self.values, strict=True))
        for i, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
            if i in self._momenta:
                tensors[f"{name}/momentum"] = self._momenta[i]
            else:
                of_adam = self._adam.state[value]
                tensors |= {f"{name}/mean": of_adam["exp_avg"], f"{name}/square": of_adam["exp_avg_sq"]}
        return tensors

    def resume(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Take in what `state` gave after `steps` steps."""
        with torch.no_grad():
            for i, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
                value.copy_(tensors[name])
                if i in self._momenta:
                    self._momenta[i].copy_(tensors[f"{name}/momentum"])
                else:
                    self._adam.state[value] = {
                        "step": torch.tensor(float(steps)),
                        "exp_avg": tensors[f"{name}/mean"],
                        "exp_avg_sq": tensors[f"{name}/square"],
                    }
        self.follow()


def orthogonal(matrices: Tensor, computed_in: torch.dtype = MULTIPLIED_IN) -> Tensor:
    """`[k, m, n]`, m <= n: nearly the nearest matrices with orthonormal rows, by Newton-Schulz; singular values end in 0.7 to 1.2."""
    a, b, c = NEWTON_SCHULZ
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(computed_in)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.float()
