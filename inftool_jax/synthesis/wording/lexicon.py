"""Words: verbs with their synonyms per split, nouns of fields, and the few inflections that frames need.

The first column of VERBS is the verb as it stands in tool names. The last column is heard in test wording only.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple


class Verb(NamedTuple):
  train: tuple[str, ...]
  test: tuple[str, ...]


_TABLE = """
get      : get, look up, fetch, pull up, check                : retrieve, bring up
list     : list, show me, get, give me                        : enumerate, run through
find     : find, look for, locate, search for                 : track down, seek out
search   : search for, find, look for                         : hunt for, seek out
create   : create, set up, make, open                         : start, put together
add      : add, put in, enter                                 : insert, include
register : register, sign up, enter                           : enroll
update   : update, change, adjust                             : revise, amend
set      : set, change, put                                   : fix, switch
delete   : delete, remove, get rid of                         : erase, wipe out
remove   : remove, take out, get rid of                       : strip out, drop
cancel   : cancel, call off, drop                             : scrap, abort
book     : book, reserve, arrange                             : secure
reserve  : reserve, book, hold                                : secure
schedule : schedule, plan, set up                             : pencil in
send     : send, dispatch, pass on                            : forward
convert  : convert, turn, change                              : transform, switch
calculate: calculate, work out, compute                       : figure out, determine
estimate : estimate, gauge, work out                          : approximate, size up
count    : count, tally, add up                               : total up
check    : check, look at, verify                             : inspect, examine
validate : validate, check, verify                            : test, vet
compare  : compare, weigh, set side by side                   : contrast
format   : format, lay out, style                             : shape
generate : generate, make, produce                            : come up with
assign   : assign, give, hand over                            : allot, delegate
close    : close, wrap up, shut                               : finish off, conclude
open     : open, start, bring up                              : launch
approve  : approve, sign off, accept                          : greenlight, confirm
reject   : reject, turn down, refuse                          : decline, deny
pause    : pause, put on hold, halt                           : suspend, freeze
resume   : resume, restart, continue                          : pick up
start    : start, begin, kick off                             : launch, set going
stop     : stop, halt, end                                    : terminate
archive  : archive, file away, put away                       : shelve
restore  : restore, bring back, recover                       : reinstate
renew    : renew, extend, prolong                             : continue
extend   : extend, prolong, stretch                           : lengthen
move     : move, shift, bring over                            : relocate
transfer : transfer, move, hand over                          : shift
pay      : pay, settle, cover                                 : clear
refund   : refund, pay back, reimburse                        : return
ship     : ship, send out, dispatch                           : post
mark     : mark, flag, label                                  : tag
complete : complete, finish, wrap up                          : conclude
track    : track, follow, trace                               : monitor
log      : log, record, note down                             : jot down
record   : record, log, note down                             : write down
rate     : rate, score, grade                                 : assess
invite   : invite, ask in, bring in                           : call in
lock     : lock, secure, block                                : seal
unlock   : unlock, release, free                              : unseal
merge    : merge, combine, join                               : fuse
split    : split, divide, break up                            : part
apply    : apply, use, put in                                 : enact
submit   : submit, hand in, file                              : turn in
enable   : enable, switch on, turn on                         : activate
disable  : disable, switch off, turn off                      : deactivate
return   : return, give back, bring back                      : hand back
borrow   : borrow, check out, take out                        : take home
order    : order, buy, ask for                                : request
buy      : buy, purchase, order                               : acquire
sell     : sell, dispose of, trade                            : offload
report   : report, file, flag                                 : bring up
request  : request, ask for, order                            : call for
summarize: summarize, sum up, condense                        : boil down
translate: translate, put, render                             : carry over
predict  : predict, forecast, project                         : foretell
rank     : rank, order, sort                                  : grade
sort     : sort, order, arrange                               : line up
round    : round, round off, trim                             : snap
run      : run, carry out, execute                            : perform
do       : do, carry out, handle                              : see to
upload   : upload, send in, put up                            : push
download : download, pull down, fetch                         : grab
publish  : publish, post, put out                             : release
attach   : attach, pin, link                                  : clip on
link     : link, connect, tie                                 : hook up
tag      : tag, label, mark                                   : badge
rename   : rename, relabel, retitle                           : rechristen
copy     : copy, duplicate, clone                             : replicate
reschedule: reschedule, move, shift                           : push
measure  : measure, gauge, work out                           : size up
encode   : encode, turn, convert                              : encipher
decode   : decode, turn back, convert                         : decipher
subscribe: subscribe, sign up, enter                          : enlist
feed     : feed, give food to, serve                          : nourish
water    : water, irrigate, give water to                     : sprinkle
adjust   : adjust, change, tune                               : tweak
release  : release, let go, free                              : let out
claim    : claim, ask for, request                            : call in
confirm  : confirm, verify, approve                           : affirm
escalate : escalate, raise, push up                           : bump up
dispatch : dispatch, send out, send                           : deploy
replace  : replace, swap, exchange                            : substitute
retire   : retire, take out, withdraw                         : phase out
"""

# Verb of the lexicon -> other verbs that tool names use for it.
_ALIASES_OF = {
  'get': 'fetch retrieve read show view lookup describe load pull',
  'search': 'query',
  'list': 'browse enumerate',
  'find': 'locate discover',
  'create': 'new make post write',
  'add': 'insert',
  'set': 'put',
  'update': 'edit modify patch change upsert',
  'delete': 'destroy erase drop clear',
  'calculate': 'compute calc',
  'check': 'verify test',
  'complete': 'finish',
  'stop': 'end',
  'start': 'begin',
  'enable': 'activate',
  'disable': 'deactivate',
  'register': 'enroll',
  'generate': 'build',
  'buy': 'purchase',
  'pause': 'suspend',
  'schedule': 'plan',
  'predict': 'forecast',
  'convert': 'exchange',
  'run': 'execute invoke perform',
  'record': 'save',
  'order': 'place',
  'upload': 'push',
  'summarize': 'summarise',
  'count': 'tally',
}
_ALIASES = {word: verb for verb, words in _ALIASES_OF.items() for word in words.split()}

BY_EFFECT = {'read': 'get', 'create': 'create', 'update': 'update', 'delete': 'delete', 'action': 'run', 'pure': 'calculate'}

_IRREGULAR = """
get:gotten find:found make:made put:put set:set take:taken hold:held send:sent give:given shut:shut bring:brought
begin:begun pay:paid break:broken buy:bought sell:sold cut:cut run:run lay:laid tie:tied let:let come:come seek:sought
show:shown feed:fed withdraw:withdrawn do:done read:read write:written split:split go:gone see:seen
freeze:frozen withhold:withheld lend:lent sow:sown strike:struck draw:drawn throw:thrown lead:led leave:left keep:kept
choose:chosen forget:forgotten cast:cast deal:dealt spend:spent tell:told swim:swum grow:grown hit:hit cut:cut
"""
_PARTICIPLES = dict(pair.split(':') for pair in _IRREGULAR.split())
_GERUNDS = {'tie': 'tying', 'see': 'seeing', 'free': 'freeing'}
_DOUBLED = frozenset(
  'get put set shut let drop plan stop log tag flag trim swap scrap wrap clip strip run cut begin split hit grab pin snap jot vet '
  'submit admit allot commit permit equip transfer refer ship scan spot map plug forget swim'.split()
)

WORD = re.compile(r'[A-Za-z]+|\d+')
_CAMEL = re.compile(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])')


@functools.cache
def _verbs() -> dict[str, Verb]:
  rows = [line.split(':') for line in _TABLE.strip().splitlines()]
  split = lambda cell: tuple(word.strip() for word in cell.split(','))
  return {name.strip(): Verb(split(train), split(test)) for name, train, test in rows}


def verb_of(word: str) -> str:
  """The lexicon's verb that `word` stands for, '' if it is none. Third person counts ('Returns')."""
  word = word.lower()
  for form in (word, word[:-1] if word.endswith('s') else word, word[:-2] if word.endswith('es') else word):
    form = _ALIASES.get(form, form)
    if form in _verbs():
      return form
  return ''


def is_verb(word: str) -> bool:
  """Whether `word`, as it stands, is a verb of the lexicon or another word for one."""
  return word in _verbs() or word in _ALIASES


def synonyms(verb: str, held_out: bool) -> tuple[str, ...]:
  """Ways to say `verb`; with `held_out`, those of the test split are among them."""
  entry = _verbs().get(verb)
  if entry is None:
    return (verb,)
  return entry.train + entry.test if held_out else entry.train


def split_name(name: str) -> tuple[str, ...]:
  """The lower-case words of an identifier: snake, kebab, dotted or camel case."""
  return tuple(word.lower() for word in WORD.findall(_CAMEL.sub(' ', name)))


def gerund(phrase: str) -> str:
  head, _, tail = phrase.partition(' ')
  return _join(_GERUNDS.get(head) or _suffixed(head, 'ing'), tail)


def participle(phrase: str) -> str:
  head, _, tail = phrase.partition(' ')
  return _join(_PARTICIPLES.get(head) or _suffixed(head, 'ed'), tail)


def article(noun: str) -> str:
  """'a' or 'an'."""
  return 'an' if noun[:1].lower() in 'aeiou' else 'a'


def is_plural(noun: str) -> bool:
  last = noun.rsplit(' ', 1)[-1]
  return (last.endswith('s') and not last.endswith(('ss', 'us', 'is'))) or last in ('people', 'data')


def singular(word: str) -> str:
  if word.endswith('ies') and len(word) > 4:
    return word[:-3] + 'y'
  if word.endswith(('sses', 'shes', 'ches', 'xes')):
    return word[:-2]
  return word[:-1] if is_plural(word) and len(word) > 3 and word not in ('data', 'people') else word


def _join(head: str, tail: str) -> str:
  return f'{head} {tail}' if tail else head


def _suffixed(head: str, suffix: str) -> str:
  if head in _DOUBLED:
    return head + head[-1] + suffix
  if head.endswith('e') and not head.endswith('ee'):
    return head[:-1] + suffix
  if suffix == 'ed' and head.endswith('y') and head[-2:-1] not in 'aeiou':
    return head[:-1] + 'ied'
  return head + suffix
