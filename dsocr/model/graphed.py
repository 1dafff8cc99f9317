"""The decoder's fast twin on a GPU: a step of running texts is one CUDA graph, and nothing in it waits for the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.kernels.experts import Experts, ask, ask_alone, choose
from dsocr.kernels.greedy import Ban, Texts, advance, ban_repeats
from dsocr.kernels.paged_attention import Heads, Places, paged_attention
from dsocr.kernels.rows import add_norm, linear
from dsocr.model.decoder import Decoder, DecoderLayer, causal_attention, rope_tables, rotate, split_heads
from dsocr.model.moe import MixtureOfExperts
from dsocr.model.quantised import QuantisedLinear, TwelveBitLinear

BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # rows of a graph; more are read in several steps
MOST_STEPS = 64  # of one burst
_TOGETHER = 2048  # rows that are put to the experts at once
_NO_BAN = Ban()


class Pool(Protocol):
    """Where keys and values lie: [layers, blocks, block, kv heads, head dim] each."""

    keys: Tensor
    values: Tensor


class Rows(Protocol):
    """Which rows of which sequences a pass brings, as the engine's Batch has it."""

    pool: Pool
    positions: Tensor
    owners: Tensor
    tables: Tensor


@dataclass(frozen=True)
class Burst:
    """Running texts that are to be written on greedily; all of it on the CPU.

    ids [n] are read next, at positions [n]; tables int32 [n, blocks] have room for all that is to come. past: the ids
    that each text has written so far, the last one among them. spared: ids that are never banned.
    """

    ids: Sequence[int]
    positions: Sequence[int]
    tables: Tensor
    past: Sequence[Sequence[int]] = ()
    ban: Ban = _NO_BAN
    spared: frozenset[int] = frozenset()


class GraphedDecoder:
    """Rows in, logits out, as `Network.step` has it; and bursts of several steps.

    Texts that bring one row each are read by a graph, prompts beside them in a pass of their own.
    """

    def __init__(self, decoder: Decoder) -> None:
        config, weight = decoder.config, decoder.embed.weight
        self._embed, self._head, self._norm = weight.detach(), decoder.head.weight.detach(), decoder.norm.weight
        self._layers = [_layer(layer) for layer in decoder.layers]
        self._heads, self._eps = Heads(config.heads, config.kv_heads, config.head_dim), config.norm_eps
        # The plain tables hold each number twice, for both channels of a pair.
        tables = rope_tables(torch.arange(config.max_positions), config, self._embed)
        cosines, sines = (table[:, : config.head_dim // 2].contiguous() for table in tables)
        self._rope = cosines, sines
        self._places = config.max_positions
        self._graphs: dict[int, _Graphs] = {}
        self._pool: Pool | None = None
        self._memory: Any = None  # shared by all graphs: no two of them run at once

    @torch.inference_mode()
    def step(self, x: Tensor, batch: Rows, wanted: Sequence[int]) -> Tensor:
        """Rows x [n, width] → float32 logits [len(wanted), vocab]; their keys and values are stored in the pool."""
        self._use(batch.pool)
        owners = batch.owners.long()
        single = torch.bincount(owners, minlength=len(batch.tables))[owners] == 1
        if bool(single.all()):
            logits = self._read_running(x, batch.positions, batch.tables[owners])
            return logits if list(wanted) == list(range(len(x))) else logits[list(wanted)]
        asked = torch.tensor(wanted, dtype=torch.long)
        logits = torch.empty(len(wanted), len(self._head), device=x.device)
        running, others = single.nonzero()[:, 0], (~single).nonzero()[:, 0]
        if len(running):
            found = self._read_running(x[_to(running, x)], batch.positions[running], batch.tables[owners[running]])
            where, among = _matches(asked, running)
            logits[_to(where, x)] = found[_to(among, x)]
        hidden = self._read_prompts(x[_to(others, x)], batch.positions[others], owners[others], batch.tables)
        where, among = _matches(asked, others)
        logits[_to(where, x)] = F.linear(hidden[_to(among, x)], self._head).float()
        return logits

    @torch.inference_mode()
    def greedy(self, pool: Pool, burst: Burst, steps: int) -> Tensor:
        """Reads burst.ids and writes `steps` ids for each text without a wait → int32 [n, steps] on the device.

        At most MOST_STEPS steps, and as many texts as the largest graph has rows.
        """
        if steps > MOST_STEPS or len(burst.ids) > BUCKETS[-1]:
            raise ValueError(f"{steps} steps of {len(burst.ids)} texts; at most {MOST_STEPS} of {BUCKETS[-1]}")
        self._use(pool)
        rows, ban = len(burst.ids), burst.ban
        graphs = self._graphs_for(rows)
        texts, run = self._bursts_of(graphs, ban)
        graphs.place(torch.tensor(burst.positions, dtype=torch.int32), burst.tables)
        texts.ids[:rows].copy_(torch.tensor(burst.ids, dtype=torch.int32))
        texts.counts.zero_()
        texts.written.copy_(_written(burst, texts.written))
        spared = torch.zeros(len(texts.spared), dtype=torch.uint8)
        spared[list(burst.spared)] = 1
        texts.spared.copy_(spared)
        for _ in range(steps):
            run()
        return texts.written[:rows, ban.window : ban.window + steps].clone()

    def _use(self, pool: Pool) -> None:
        """A graph knows the addresses of one pool: for another one, all are recorded anew."""
        if self._pool is not pool:
            self._graphs.clear()
            self._pool, self._memory = pool, None

    def _read_running(self, x: Tensor, positions: Tensor, tables: Tensor) -> Tensor:
        """One row of each text → float32 logits [n, vocab]."""
        found = []
        for first in range(0, len(x), BUCKETS[-1]):
            last = min(first + BUCKETS[-1], len(x))
            graphs = self._graphs_for(last - first)
            run = self._step_of(graphs)
            graphs.place(positions[first:last], tables[first:last])
            graphs.x[: last - first].copy_(x[first:last])
            found.append(run()[: last - first].to(torch.float32, copy=True))
        return found[0] if len(found) == 1 else torch.cat(found)

    def _read_prompts(self, x: Tensor, positions: Tensor, owners: Tensor, tables: Tensor) -> Tensor:
        """Several rows of each text, its rows together → hidden states [n, width], normed for the head."""
        assert self._pool is not None
        spans = _spans(positions, owners, tables, self._pool.keys.shape[2])
        slots = _to(torch.cat([span.stored[span.begin :] for span in spans]), x)
        stored = [_to(span.stored, x) for span in spans]
        places = _to(positions.long(), x)
        cos, sin = (table[places].repeat(1, 2) for table in self._rope)
        heads, pool = self._heads, self._pool

        def attend(layer: int, qkv: Tensor) -> Tensor:
            cut = [heads.count * heads.dim, heads.kv * heads.dim, heads.kv * heads.dim]
            q, k, v = (split_heads(part[None], part.shape[1] // heads.dim) for part in torch.split(qkv, cut, dim=1))
            q, k = rotate(q, (cos, sin)), rotate(k, (cos, sin))
            keys, values = pool.keys[layer].flatten(0, 1), pool.values[layer].flatten(0, 1)
            keys.index_copy_(0, slots, k[0].transpose(0, 1))
            values.index_copy_(0, slots, v[0].transpose(0, 1))
            seen, first = [], 0
            for span, own in zip(spans, stored, strict=True):
                last = first + len(span.stored) - span.begin
                seen.append(
                    causal_attention(q[:, :, first:last], *(s[own].transpose(0, 1)[None] for s in (keys, values)))
                )
                first = last
            return torch.cat(seen, dim=2)[0].transpose(0, 1).flatten(1)

        return self._read(x.clone(), attend)

    def _read(self, x: Tensor, attend: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Rows x [n, width], which are changed, through all layers; `attend` takes q, k and v of rows [n, …]."""
        answers: Tensor | None = None
        weights: Tensor | None = None
        for number, layer in enumerate(self._layers):
            normed = add_norm(x, answers, weights, layer.attention_norm, self._eps)
            delta = linear(attend(number, linear(normed, layer.qkv)), layer.out)
            if layer.experts is None:
                normed = add_norm(x, delta[:, None], None, layer.ffn_norm, self._eps)
                answers, weights = layer.dense(normed)[:, None], None
                continue
            normed, weights, chosen = choose(x, delta, layer.ffn_norm, self._eps, layer.experts)
            if len(x) == 1:
                answers, weights = ask_alone(normed, chosen, weights, layer.experts), None
            else:
                answers = _ask(normed, chosen, layer.experts)
        return add_norm(x, answers, weights, self._norm, self._eps)

    def _graphs_for(self, rows: int) -> _Graphs:
        size = next(bucket for bucket in BUCKETS if bucket >= rows)
        if size not in self._graphs:
            assert self._pool is not None
            x = torch.zeros(size, self._embed.shape[1], dtype=self._embed.dtype, device=self._embed.device)
            self._graphs[size] = _Graphs(x, -(-self._places // self._pool.keys.shape[2]))
        return self._graphs[size]

    def _step_of(self, graphs: _Graphs) -> Callable[[], Tensor]:
        """What runs a step and gives its logits, which last until the next one."""
        if graphs.step is None:
            graphs.step = self._record(graphs, lambda: self._logits(graphs.x, graphs.places))
        return graphs.step

    def _bursts_of(self, graphs: _Graphs, ban: Ban) -> tuple[Texts, Callable[[], Tensor]]:
        """The texts of a burst, and what runs one of its steps."""
        if ban not in graphs.bursts:
            rows, device = len(graphs.x), graphs.x.device
            ids, counts = torch.zeros(2, rows, dtype=torch.int32, device=device)
            written = torch.full((rows, ban.window + MOST_STEPS), -1, dtype=torch.int32, device=device)
            spared = torch.zeros(len(self._head), dtype=torch.uint8, device=device)
            texts = Texts(ids, graphs.places.positions, counts, written, spared)

            def burst() -> Tensor:
                logits = self._logits(F.embedding(texts.ids, self._embed), graphs.places)
                ban_repeats(logits, texts, ban)
                chosen = logits.argmax(dim=-1)
                advance(chosen, texts, ban)
                return chosen

            graphs.bursts[ban] = texts, self._record(graphs, burst)
        return graphs.bursts[ban]

    def _logits(self, x: Tensor, places: Places) -> Tensor:
        """What a graph holds: one row of each text, [n, width] → logits [n, vocab] as the head gives them."""
        assert self._pool is not None
        pool = self._pool

        def attend(layer: int, qkv: Tensor) -> Tensor:
            return paged_attention(qkv, self._heads, self._rope, places, pool.keys[layer], pool.values[layer])

        return linear(self._read(x.clone(), attend), self._head)

    def _record(self, graphs: _Graphs, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Runs it with rows that are none, until all is compiled, and records it; on a CPU, it is what it was."""
        if graphs.x.device.type != "cuda":
            return run
        graphs.numbers.fill_(-1)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            run()
            run()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Another thread may encode pages meanwhile.
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            left = run()
        self._memory = self._memory or graph.pool()

        def replay() -> Tensor:
            graph.replay()
            return left

        return replay


class _Graphs:
    """What the graphs for so many rows read, and the graphs."""

    def __init__(self, x: Tensor, blocks: int) -> None:
        rows, on_gpu = len(x), x.device.type == "cuda"
        self.x = x
        # In one tensor, so that one copy brings both.
        self.numbers = torch.full((rows * (1 + blocks),), -1, dtype=torch.int32, device=x.device)
        self.places = Places(self.numbers[:rows], self.numbers[rows:].view(rows, blocks))
        self.step: Callable[[], Tensor] | None = None
        self.bursts: dict[Ban, tuple[Texts, Callable[[], Tensor]]] = {}
        self._staged = torch.zeros(len(self.numbers), dtype=torch.int32, pin_memory=on_gpu)
        self._copied = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]

    def place(self, positions: Tensor, tables: Tensor) -> None:
        """Where the first rows stand; those left over are none. On the GPU's way, nobody waits for it."""
        rows, count = len(self.x), len(positions)
        if self._copied is not None:
            self._copied.synchronize()  # what was staged before has arrived
        self._staged[:count], self._staged[count:rows] = positions, -1
        self._staged[rows:].view(rows, -1)[:count, : tables.shape[1]] = tables
        self.numbers.copy_(self._staged, non_blocking=True)
        if self._copied is not None:
            self._copied.record()


@dataclass(frozen=True)
class _Layer:
    """One layer's weights: q, k and v as one, and a dense network or experts."""

    attention_norm: Tensor
    ffn_norm: Tensor
    qkv: Tensor
    out: Tensor
    dense: Callable[[Tensor], Tensor]
    experts: Experts | None


@dataclass(frozen=True)
class _Span:
    """Rows of one text: where its places up to the last of them are stored, and how many there were before."""

    stored: Tensor
    begin: int


def graph_decoder(decoder: Decoder) -> GraphedDecoder | None:
    """The fast twin, where the weights are floats on a GPU that knows them; else None. It is for reading only."""
    device = decoder.embed.weight.device
    packed = any(isinstance(module, QuantisedLinear | TwelveBitLinear) for module in decoder.modules())
    if device.type != "cuda" or packed:
        return None
    if torch.version.hip or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    if device.index not in (None, torch.cuda.current_device()):  # Triton launches on the current one
        return None
    return GraphedDecoder(decoder)


def _ask(normed: Tensor, chosen: Tensor, experts: Experts) -> Tensor:
    """As `ask`, for any number of rows."""
    parts = [slice(first, first + _TOGETHER) for first in range(0, len(normed), _TOGETHER)]
    said = [ask(normed[part], chosen[part], experts) for part in parts]
    return said[0] if len(said) == 1 else torch.cat(said)


def _layer(layer: nn.Module) -> _Layer:
    assert isinstance(layer, DecoderLayer)
    attention, ffn = layer.attention, layer.ffn
    mixture = ffn if isinstance(ffn, MixtureOfExperts) else None
    return _Layer(
        layer.attention_norm.weight,
        layer.ffn_norm.weight,
        _join([attention.q, attention.k, attention.v]),
        attention.out.weight,
        ffn,
        _experts(mixture) if mixture else None,
    )


def _experts(mixture: MixtureOfExperts) -> Experts:
    networks, shared = list(mixture.experts), mixture.shared

    def stack(name: str) -> Tensor:
        whole = _join([getattr(network, name) for network in networks])
        return whole.view(len(networks), -1, whole.shape[1])

    return Experts(
        mixture.router.weight,
        stack("gate"),
        stack("up"),
        stack("down"),
        shared.gate.weight,
        shared.up.weight,
        shared.down.weight,
        mixture.per_token,
        mixture.renormalise,
        mixture.scale,
    )


def _join(linears: Sequence[nn.Linear]) -> Tensor:
    """All outputs of several linears as one weight; theirs become views of it, so that nothing is held twice."""
    whole, first = torch.cat([each.weight.detach() for each in linears]), 0
    for each in linears:
        last = first + each.out_features
        each.weight.data = whole[first:last]
        first = last
    return whole


def _spans(positions: Tensor, owners: Tensor, tables: Tensor, block: int) -> list[_Span]:
    """The texts that bring these rows, in order; all on the CPU."""
    spans, first = list[_Span](), 0
    for owner, count in Counter(owners.tolist()).items():
        begin = int(positions[first])
        places = torch.arange(begin + count)
        spans.append(_Span(tables[owner].long()[places // block] * block + places % block, begin))
        first += count
    return spans


def _written(burst: Burst, like: Tensor) -> Tensor:
    """The ids that the ban looks back at, before room for those to come, as the tensor on the GPU has it."""
    window = burst.ban.window
    written = torch.full(like.shape, -1, dtype=torch.int32)
    for row, past in enumerate(burst.past):
        last = past[max(0, len(past) - window) :]
        written[row, window - len(last) : window] = torch.tensor(last, dtype=torch.int32)
    return written


def _matches(wanted: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the wanted are among the rows, in order, and where there."""
    where = torch.isin(wanted, rows).nonzero()[:, 0]
    return where, torch.searchsorted(rows, wanted[where])


def _to(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.to(like.device)
