"""Words for the tiny base's corpus: everyday English, what Python's own reference says, and what made-up words are made of."""

from __future__ import annotations

import pydoc_data.topics
import re
from collections import Counter

ONSETS = 'b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gl gr pl pr sh sk sl sp st th tr'.split()
VOWELS = 'a e i o u ai ea ee io oa ou'.split()
CODAS = ['', '', '', 'n', 'r', 'l', 's', 't', 'm', 'nd', 'rk', 'st', 'x', 'th']
EVERYDAY = '''
able about above account across act add address age agree air allow alone already always amount animal answer apple apply april
area arm arrive art ask august available average away baby back bad bag ball band bank bar base basic bath battery beach bean bed
begin below best better bike bill bird black blood blue board boat body bone book born both bottle bottom box branch bread break
bridge bring brother brown budget build burn bus business busy butter button buy cake call camera camp cancel capacity car card
care carry case cat catch cause center century certain chair chance change charge cheap check cheese child choose church circle
city clean clear climb clock close cloth cloud club coast coat coffee cold collect color come common company complete confirm
contact cook cool copper copy corner cost cotton count country couple course cover cream create credit crop cross crowd cup
current curve customer cut cycle daily dance dark date daughter day dead deal dear december decide deep degree delete deliver
depth design desk detail develop device dinner direct distance doctor dog dollar door double down draft draw dress drink drive
drop dry due during dust duty each ear early earth east easy eat edge egg eight either eleven email empty end energy engine enjoy
enough enter equal estimate even evening event ever every exact exam except expect extra eye face fact fail fair fall family
famous far farm fast father february fee feed feel few field fight fill film final find fine finger finish fire firm first fish
five fix flat flight floor flower fly follow food foot force foreign forest forget form forward four free fresh friday friend
front fruit fuel full fun game garden gas general get gift girl give glad glass goal gold good grand grass gray great green ground
group grow guest guide hair half hall hand happy hard hat have head health hear heart heat heavy height help high hill history
hold hole holiday home hope horse hospital hot hotel hour house how human hundred hurry ice idea inch income increase inside
insurance interest invite iron island issue item january job join july jump june just keep key kind king kitchen knee know label
lady lake land language large last late later laugh law lead learn leave left leg length lesson letter level library life light
like limit line link lip liquid little live local long look lose loss lot loud love low lunch machine magazine mail main make
manager many map march mark market matter may meal mean measure meat medical meet meeting member message metal meter middle mile
milk million mind minute mirror miss model modern monday money month moon more morning most mother mountain mouth move movie much
music nail name narrow nation nature near neck need never new news next nice night nine noise none noon north nose note nothing
notice november now number october off offer office often oil old once one open order orange other our out over owner page paint
pair paper parent park part party pass past path patient pay payment peace pen people percent person phone photo pick picture
piece pink place plan plane plant plate play please point police pool poor popular port position post pound power prepare present
press pretty price print private prize problem produce product profile profit project protect provide public pull purple push put
quality quantity quarter queen question quick quiet quite radio rain raise range rate reach read ready real reason receive record
red refund region register remember remove rent repair repeat reply report request rest result return rice rich ride right ring
river road rock roll roof room root rose round route row rule run safe sale salt same sand saturday save scale schedule school
science score sea search season seat second see seed sell send september serve service set seven shade shape share sharp ship
shirt shoe shop short show shut sick side sign silver simple since sing sister size skin sky sleep slow small smell smile smoke
smooth snow social soft soil solid some son song soon sound soup south space speak special speed spell spend sport spot spring
square staff stage stand star start state station stay steel step stock stone stop store storm story street strong student study
style subject sugar summer sun sunday supply sure surface sweet swim system table take talk tall task taste tax tea teach team
temperature ten test thank thick thin thing think third thirty thousand three throw thursday ticket time tire title today together
tomorrow tonight tool top total touch tour town track trade train transfer travel treat tree trip truck true trust try tuesday
turn twelve twenty two under unit until update upper use user usual valley vehicle very view village visit voice wait walk wall
want warm wash watch water wave way weak wear weather website wednesday week weight welcome well west wet wheel white wide width
wife wild wind window wine winter wish woman wonder wood word work world worry write wrong yard year yellow yes yesterday yet
young zero zone
'''
SMALL = 'the a an my our your this that it me us you i we for to of in on with and please can will want need some all no more'.split()
IDENTIFIER = 'abcdefghijklmnopqrstuvwxyz234567'


def english_text() -> str:
  """The Python reference's help topics, which every Python installation carries."""
  return '\n'.join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics))


def english_words(limit: int = 3000) -> list[str]:
  counts = Counter(re.findall(r'\b[a-z]{3,11}\b', english_text().lower()))
  return [w for w, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]]
