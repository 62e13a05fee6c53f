"""The prefix tree against a cache that is played in Python: whatever is opened holds what it says, and no page is lost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inftool_jax.sampling.pages import SCRAP, Chain, Pages

SIZE = 4
tokens = st.lists(st.integers(0, 2), max_size=3 * SIZE)


class Device:
  """What each place of each page holds: the tokens up to there."""

  def __init__(self, count: int):
    self.held: dict[tuple[int, int], tuple[int, ...]] = {}

  def write(self, chain: Chain, new: Sequence[int]) -> None:
    sequence = [*chain.tokens, *new]
    for p in range(len(chain.tokens), len(sequence)):
      page = chain.pages[p // SIZE]
      assert page != SCRAP
      self.held[page, p % SIZE] = tuple(sequence[: p + 1])

  def copy(self, source: int, target: int) -> None:
    for place in range(SIZE):
      if (source, place) in self.held:
        self.held[target, place] = self.held[source, place]

  def check(self, chain: Chain) -> None:
    for p in range(len(chain.tokens)):
      assert self.held[chain.pages[p // SIZE], p % SIZE] == tuple(chain.tokens[: p + 1])


class Conversations(RuleBasedStateMachine):
  COUNT = 24

  def __init__(self) -> None:
    super().__init__()
    self.pages, self.device = Pages(self.COUNT, SIZE), Device(self.COUNT)
    self.chains: list[Chain] = []
    self.rooms: dict[int, int] = {}

  @rule(prompt=tokens, more=st.integers(1, SIZE))
  def open(self, prompt: list[int], more: int) -> None:
    known, before = self.pages.known(prompt), (self.pages.used, self.pages.available)
    opened = self.pages.open(prompt, len(prompt) + more)
    if opened is None:
      assert (self.pages.used, self.pages.available) == before
      return
    chain, copy = opened
    assert chain.tokens == prompt[:known] and len(chain.pages) * SIZE >= len(prompt) + more
    if copy:
      self.device.copy(copy.source.page, copy.target)
      self.pages.copied(copy)
    self.chains.append(chain)
    self.rooms[id(chain)] = len(prompt) + more

  @precondition(lambda self: self.chains)
  @rule(which=st.integers(0, 99), new=tokens)
  def fill(self, which: int, new: list[int]) -> None:
    chain = self.chains[which % len(self.chains)]
    new = new[: max(0, self.rooms[id(chain)] - len(chain.tokens))]
    self.device.write(chain, new)
    self.pages.fill(chain, new)

  @precondition(lambda self: self.chains)
  @rule(which=st.integers(0, 99), more=st.integers(0, 2 * SIZE))
  def next_turn(self, which: int, more: int) -> None:
    chain = self.chains[which % len(self.chains)]
    self.pages.trim(chain)
    self.rooms[id(chain)] = len(chain.tokens)
    if self.pages.extend(chain, len(chain.tokens) + more):
      self.rooms[id(chain)] += more

  @precondition(lambda self: self.chains)
  @rule(which=st.integers(0, 99))
  def close(self, which: int) -> None:
    chain = self.chains.pop(which % len(self.chains))
    self.pages.close(chain)

  @invariant()
  def chains_hold_what_they_say(self) -> None:
    for chain in self.chains:
      self.device.check(chain)
      assert len(set(chain.pages)) == len(chain.pages)

  @invariant()
  def every_page_is_somewhere_once(self) -> None:
    tree = [node.page for node in self.pages.nodes()]
    own = [page for chain in self.chains for page in chain.own]
    assert sorted([*tree, *own, *self.pages.free]) == list(range(1, self.COUNT))
    held = {id(node) for chain in self.chains for node in chain.nodes}
    assert self.pages.used == len(held) + len(own) and self.pages.used + self.pages.available == self.COUNT - 1

  def teardown(self) -> None:
    for chain in self.chains:
      self.pages.close(chain)
    assert self.pages.used == 0
    everything = self.pages.open([], (self.COUNT - 1) * SIZE)  # all of them can be had again
    assert everything is not None


TestConversations = Conversations.TestCase
TestConversations.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def _said(pages: Pages, prompt: list[int]) -> Chain:
  opened = pages.open(prompt, len(prompt) + 1)
  assert opened is not None
  chain, copy = opened
  if copy:
    pages.copied(copy)
  pages.fill(chain, prompt[len(chain.tokens) :])
  return chain


def test_a_growing_page_is_copied_as_far_as_it_is_the_same() -> None:
  pages = Pages(20, SIZE)
  first = _said(pages, [1, 2, 3, 4, 5, 6])
  opened = pages.open([1, 2, 3, 4, 5, 9, 9], 8)
  assert opened is not None
  second, copy = opened
  assert second.tokens == [1, 2, 3, 4, 5] and copy is not None
  assert second.pages[0] == first.pages[0] and copy.source.page == first.pages[1] and copy.target == second.pages[1] != first.pages[1]


def test_the_longest_idle_goes_first_and_what_leads_to_the_used_never() -> None:
  pages = Pages(7, SIZE)
  old, new = _said(pages, [1] * 4), _said(pages, [2] * 4)  # two pages each with their room
  pages.close(old)
  pages.close(new)
  used = _said(pages, [1] * 4 + [3])
  assert pages.open([], 4 * SIZE) is not None  # takes all that is free, and the page of 2s
  assert pages.known([2] * 4) == 0 and pages.known([1] * 4 + [3]) == 5 and pages.used == 6
  assert pages.open([], 1) is None
  pages.close(used)
  assert pages.open([], 1) is not None and pages.known([1] * 4 + [3]) == 4  # the leaf before its parent


def test_equal_pages_become_one() -> None:
  pages = Pages(20, SIZE)
  one, other = (pages.open([], 5) for _ in range(2))
  assert one is not None and other is not None
  for chain, _ in (one, other):
    pages.fill(chain, [1, 2])
  for chain, _ in (one, other):
    pages.fill(chain, [3, 4, 5])
  assert one[0].pages[0] == other[0].pages[0] and one[0].pages[1] != other[0].pages[1]
