"""What teacher and student multiply in: bfloat16 where the CPU does so in hardware, float32 elsewhere, where bfloat16 takes many times as long.

The float32 masters, the cache's float16 and the order of everything are the same with both; figures differ by rounding.
"""

import torch

from edgecl.training import mixed_precision

MULTIPLIED_IN: torch.dtype = mixed_precision(torch.device("cpu")) or torch.float32
