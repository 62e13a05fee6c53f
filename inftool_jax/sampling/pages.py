"""Which page of the cache holds what: a prefix tree of pages, reference counts, and who has to go.

A page's content is determined by all tokens up to its end (and by the weights: with new ones everything is forgotten). A full page never
changes any more, so whoever continues the same tokens uses the same page. A partial one grows with the one chain that writes to it; others
who begin with what it holds so far take a copy.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence

SCRAP = 0  # the page that takes what nobody reads


@dataclasses.dataclass(eq=False)
class Node:
  """A page with content; `tokens` are fewer than a page's in leaves only. `users` counts the chains that it is part of."""

  tokens: list[int]
  page: int
  parent: Node | None
  children: dict[int, list[Node]] = dataclasses.field(default_factory=dict)  # by their first token, in order of arrival
  users: int = 0


@dataclasses.dataclass(eq=False)
class Chain:
  """The pages of one sequence, in order: those with content in the tree, then empty ones. Writes to its last node, if that is partial."""

  tokens: list[int]  # whose keys and values the pages hold
  nodes: list[Node]
  own: list[int]

  @property
  def pages(self) -> list[int]:
    return [node.page for node in self.nodes] + self.own


@dataclasses.dataclass(frozen=True)
class Copy:
  """Before the chain is continued its page `target` must get what `source` holds. `source` is kept until `Pages.copied`."""

  source: Node
  target: int


class Pages:
  """All pages but the scrap one. Every page is free, in the tree, or a chain's own."""

  def __init__(self, count: int, size: int):
    self.count, self.size = count, size
    self.clear()

  def clear(self) -> None:
    """Forgets everything; chains from before must not be used any more."""
    self._free = list(range(self.count - 1, SCRAP, -1))
    self._root = Node([], SCRAP, None)
    self._idle: collections.OrderedDict[Node, None] = collections.OrderedDict()  # leaves that no chain uses, the longest idle first
    self._cached = 0  # nodes of the tree that no chain uses

  @property
  def free(self) -> list[int]:
    return list(self._free)

  @property
  def used(self) -> int:
    """Pages that chains hold."""
    return self.count - 1 - len(self._free) - self._cached

  @property
  def available(self) -> int:
    """Pages that could be had."""
    return len(self._free) + self._cached

  def known(self, tokens: Sequence[int]) -> int:
    """How many of the first tokens are in the cache."""
    nodes, _, common = self._match(tokens)
    return len(nodes) * self.size + common

  def open(self, tokens: Sequence[int], room: int) -> tuple[Chain, Copy | None] | None:
    """A chain that begins with what is known of `tokens` and has room for `room` tokens; None, and nothing changed, without the pages."""
    nodes, tail, common = self._match(tokens)
    self._hold([*nodes, *([tail] if tail else [])])
    own = self._take(self._needed(room) - len(nodes))
    if own is None:
      self._let_go([*nodes, *([tail] if tail else [])])
      return None
    chain = Chain(list(tokens[: len(nodes) * self.size + common]), nodes, own)
    return chain, Copy(tail, own[0]) if tail else None

  def copied(self, copy: Copy) -> None:
    self._let_go([copy.source])

  def extend(self, chain: Chain, room: int) -> bool:
    """Makes room for `room` tokens in all; False, and nothing changed, without the pages."""
    more = self._take(self._needed(room) - len(chain.nodes) - len(chain.own))
    chain.own += more or []
    return more is not None

  def fill(self, chain: Chain, tokens: Sequence[int]) -> None:
    """The chain's pages now hold these tokens too, and whoever begins with them may know."""
    chain.tokens += tokens
    partial = bool(chain.nodes) and len(chain.nodes[-1].tokens) < self.size
    for n in range(len(chain.nodes) - partial, self._needed(len(chain.tokens))):
      if n == len(chain.nodes):
        chain.nodes.append(self._added(chain, chain.tokens[n * self.size : (n + 1) * self.size], chain.own.pop(0)))
      else:
        held = chain.nodes[n].tokens
        held += chain.tokens[n * self.size + len(held) : (n + 1) * self.size]
      if len(chain.nodes[n].tokens) == self.size:
        self._unify(chain)

  def trim(self, chain: Chain) -> None:
    """Gives back pages that hold nothing."""
    keep = self._needed(len(chain.tokens)) - len(chain.nodes)
    self._free += chain.own[keep:]
    del chain.own[keep:]

  def close(self, chain: Chain) -> None:
    """The chain's owner needs it no more; its content stays in the tree as long as there is room."""
    self._free += chain.own
    self._let_go(chain.nodes)
    chain.own, chain.nodes = [], []

  def _needed(self, tokens: int) -> int:
    return -(-tokens // self.size)

  def _match(self, tokens: Sequence[int]) -> tuple[list[Node], Node | None, int]:
    """Full pages that hold the first tokens, the page that holds most of those after them, and how many it holds."""
    nodes: list[Node] = []
    at = self._root
    while True:
      rest = tokens[len(nodes) * self.size : (len(nodes) + 1) * self.size]
      best, common = None, 0
      for child in at.children.get(rest[0], ()) if rest else ():
        n = _common(child.tokens, rest)
        if n > common:
          best, common = child, n
      if best is None or common < self.size:
        return nodes, best, common
      nodes.append(best)
      at = best

  def _added(self, chain: Chain, content: list[int], page: int) -> Node:
    """A node of the chain after its last."""
    parent = chain.nodes[-1] if chain.nodes else self._root
    node = Node(content, page, parent, users=1)
    parent.children.setdefault(content[0], []).append(node)
    self._idle.pop(parent, None)
    return node

  def _unify(self, chain: Chain) -> None:
    """The chain's last page is full: if another one has the same content, that one is enough."""
    node = chain.nodes[-1]
    assert node.parent is not None
    other = next(n for n in node.parent.children[node.tokens[0]] if n.tokens == node.tokens)
    if other is not node:
      self._hold([other])
      chain.nodes[-1] = other
      self._remove(node)

  def _remove(self, node: Node) -> None:
    """Out of the tree with a leaf."""
    assert node.parent is not None
    siblings = node.parent.children[node.tokens[0]]
    siblings.remove(node)
    if not siblings:
      del node.parent.children[node.tokens[0]]
    self._free.append(node.page)

  def _hold(self, nodes: Sequence[Node]) -> None:
    for node in nodes:
      if not node.users:
        self._cached -= 1
        self._idle.pop(node, None)
      node.users += 1

  def _let_go(self, nodes: Sequence[Node]) -> None:
    for node in reversed(nodes):  # children first: a parent goes after them
      node.users -= 1
      if not node.users:
        self._cached += 1
        self._rest(node)

  def _rest(self, node: Node) -> None:
    if not node.children:
      self._idle[node] = None
      self._idle.move_to_end(node)

  def _take(self, count: int) -> list[int] | None:
    if count > self.available:
      return None
    while len(self._free) < count:
      self._evict()
    return [self._free.pop() for _ in range(count)]

  def _evict(self) -> None:
    node, _ = self._idle.popitem(last=False)
    self._remove(node)
    self._cached -= 1
    parent = node.parent
    if parent is not None and parent is not self._root and not parent.children and not parent.users:
      self._idle[parent] = None
      self._idle.move_to_end(parent, last=False)  # it was used no later than its child

  def nodes(self) -> Iterator[Node]:
    """All of the tree's."""
    stack = [self._root]
    while stack:
      children = [child for same in stack.pop().children.values() for child in same]
      yield from children
      stack += children


def _common(a: Sequence[int], b: Sequence[int]) -> int:
  n = 0
  for x, y in zip(a, b):
    if x != y:
      break
    n += 1
  return n
