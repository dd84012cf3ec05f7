"""What ONNX has no operator for, said in those that it has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.export import ExportedProgram


def said_in_onnx(program: ExportedProgram) -> ExportedProgram:
    """A traced network without operators that ONNX lacks."""
    lacking = {torch.ops.aten.linalg_solve_triangular.default: solve_lower}
    # What runs without gradient is in graphs of its own.
    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    needed = any(node.target in lacking for graph in graphs for node in graph.nodes)
    # Tracing it once more takes as long as the first time.
    return program.run_decompositions(lacking) if needed else program


def solve_lower(factor: Tensor, columns: Tensor, *, upper: bool) -> Tensor:
    """x of `factor @ x = columns`, for a lower triangular factor [d, d] and columns [d, n]: a row after the other."""
    if upper:
        raise NotImplementedError("an upper triangular factor")
    rows: list[Tensor] = []
    for row in range(factor.shape[0]):
        known = factor[row, :row] @ torch.stack(rows) if rows else 0
        rows.append((columns[row] - known) / factor[row, row])
    return torch.stack(rows)
