"""Which stocks does the synthetic market have, and how does each of them behave?

Names, symbols, ISINs, industries and exchange tokens are public facts of NSE (the NIFTY 50 constituents
file of late 2025, the broker's instruments dump), so that what users know by heart (INFY is token 408065)
is true here too. Prices, volumes, volatilities and free floats are of the right size and no more: they
start a process, and what comes of it is not those companies' history.

The order counts: `--symbols N` takes the first N, the large ones first, and the first of an industry
leads it in the planted edge lead_lag. The last ten are not in the index and have no futures: thin names
with wide spreads, bands of their own and the ordinary close.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache

from exchange.nouns import Listing
from outcome import ConfigError
from rulebook.hours import SymbolClass
from rulebook.records import Paise

# Base prices hold at the open of the first session of this year, whatever the seed and the start.
REFERENCE = date(2026, 1, 1)
FIRST_DAY = date(2015, 1, 1)  # about as far as the broker's minutes reach back (kite.md 1.4)

INDEX_TICKER, INDEX_TOKEN, INDEX_TICK = "NIFTY 50", 1001, Paise(5)
INDEX_BASE = Paise(26_000_00)
FNO_BAND_PERCENT = 10  # the exchange's dynamic band, taken as it stands in the morning

_SLABS = ((250, 1), (1_000, 5), (5_000, 10), (10_000, 50), (20_000, 100))  # rupees below, tick in paise
_TICK_ABOVE = 500

_INDUSTRIES = {
    "oil": "Oil Gas & Consumable Fuels",
    "money": "Financial Services",
    "it": "Information Technology",
    "telecom": "Telecommunication",
    "building": "Construction",
    "goods": "Fast Moving Consumer Goods",
    "cars": "Automobile and Auto Components",
    "health": "Healthcare",
    "power": "Power",
    "durables": "Consumer Durables",
    "cement": "Construction Materials",
    "shops": "Consumer Services",
    "metals": "Metals & Mining",
    "capital": "Capital Goods",
    "services": "Services",
    "chemicals": "Chemicals",
    "diverse": "Diversified",
}

# ticker | name | industry | ISIN | token | rupees | thousand shares a day | volatility of the session in
# basis points | beta in percent | free float in crore shares | band in percent, or F&O | listed in
_TABLE = """\
RELIANCE|Reliance Industries Ltd.|oil|INE002A01018|2885|1570|11000|115|105|677|F&O|
HDFCBANK|HDFC Bank Ltd.|money|INE040A01034|1333|995|19000|100|105|1530|F&O|
ICICIBANK|ICICI Bank Ltd.|money|INE090A01021|4963|1345|11000|105|105|714|F&O|
INFY|Infosys Ltd.|it|INE009A01021|1594|1630|7500|125|85|353|F&O|
BHARTIARTL|Bharti Airtel Ltd.|telecom|INE397D01024|10604|2105|5500|115|85|290|F&O|
TCS|Tata Consultancy Services Ltd.|it|INE467B01029|11536|3230|2600|110|75|101|F&O|
LT|Larsen & Toubro Ltd.|building|INE018A01030|11483|4100|1900|120|110|137|F&O|
ITC|ITC Ltd.|goods|INE154A01025|1660|402|13000|95|60|890|F&O|
SBIN|State Bank of India|money|INE062A01020|3045|985|9500|120|115|395|F&O|
AXISBANK|Axis Bank Ltd.|money|INE238A01034|5900|1275|7000|125|115|285|F&O|
KOTAKBANK|Kotak Mahindra Bank Ltd.|money|INE237A01036|1922|440|16000|115|95|735|F&O|
M&M|Mahindra & Mahindra Ltd.|cars|INE101A01026|2031|3760|2400|135|105|97|F&O|
BAJFINANCE|Bajaj Finance Ltd.|money|INE296A01032|317|985|7500|140|120|281|F&O|
HINDUNILVR|Hindustan Unilever Ltd.|goods|INE030A01027|1394|2330|1500|100|55|89|F&O|
SUNPHARMA|Sun Pharmaceutical Industries Ltd.|health|INE044A01036|3351|1720|2400|115|60|109|F&O|
MARUTI|Maruti Suzuki India Ltd.|cars|INE585B01010|10999|16700|420|115|85|13|F&O|
HCLTECH|HCL Technologies Ltd.|it|INE860A01027|7229|1640|2700|125|80|106|F&O|
NTPC|NTPC Ltd.|power|INE733E01010|11630|335|11000|120|90|475|F&O|
TITAN|Titan Company Ltd.|durables|INE280A01028|3506|4050|900|125|90|42|F&O|
ULTRACEMCO|UltraTech Cement Ltd.|cement|INE481G01011|11532|11800|330|120|85|12|F&O|
ETERNAL|Eternal Ltd.|shops|INE758T01015|5097|284|32000|185|115|770|F&O|2021-07-23
TATASTEEL|Tata Steel Ltd.|metals|INE081A01020|3499|182|28000|150|120|830|F&O|
BEL|Bharat Electronics Ltd.|capital|INE263A01024|383|398|14000|150|115|355|F&O|
POWERGRID|Power Grid Corporation of India Ltd.|power|INE752E01010|14977|266|11500|115|80|452|F&O|
INDIGO|InterGlobe Aviation Ltd.|services|INE646L01027|11195|5080|800|150|95|20|F&O|2015-11-10
TMPV|Tata Motors Passenger Vehicles Ltd.|cars|INE155A01022|3456|368|12500|165|120|211|F&O|
JSWSTEEL|JSW Steel Ltd.|metals|INE019A01038|11723|1165|1900|135|105|134|F&O|
ASIANPAINT|Asian Paints Ltd.|durables|INE021A01026|236|2790|1100|120|65|45|F&O|
HINDALCO|Hindalco Industries Ltd.|metals|INE038A01020|1363|890|5800|150|115|146|F&O|
TECHM|Tech Mahindra Ltd.|it|INE669C01036|13538|1600|1700|140|85|63|F&O|
GRASIM|Grasim Industries Ltd.|cement|INE047A01021|1232|2840|650|110|85|38|F&O|
ADANIPORTS|Adani Ports and Special Economic Zone Ltd.|services|INE742F01042|15083|1475|2400|150|115|73|F&O|
BAJAJFINSV|Bajaj Finserv Ltd.|money|INE918I01026|16675|2040|1300|120|105|63|F&O|
SHRIRAMFIN|Shriram Finance Ltd.|money|INE721A01047|4306|995|4600|170|120|140|F&O|
ONGC|Oil & Natural Gas Corporation Ltd.|oil|INE213A01029|2475|241|11000|125|90|515|F&O|
COALINDIA|Coal India Ltd.|oil|INE522F01014|20374|405|6200|115|85|228|F&O|
JIOFIN|Jio Financial Services Ltd.|money|INE758E01017|18143|299|13500|150|115|336|F&O|2023-08-21
NESTLEIND|Nestle India Ltd.|goods|INE239A01024|17963|1290|1300|105|55|72|F&O|
BAJAJ-AUTO|Bajaj Auto Ltd.|cars|INE917I01010|16669|9400|340|125|80|12|F&O|
SBILIFE|SBI Life Insurance Company Ltd.|money|INE123W01016|21808|2035|900|115|75|44|F&O|2017-10-03
EICHERMOT|Eicher Motors Ltd.|cars|INE066A01021|910|7330|420|130|85|14|F&O|
CIPLA|Cipla Ltd.|health|INE059A01026|694|1510|1500|115|60|57|F&O|
HDFCLIFE|HDFC Life Insurance Company Ltd.|money|INE795G01014|467|750|2300|120|80|107|F&O|2017-11-17
DRREDDY|Dr. Reddy's Laboratories Ltd.|health|INE089A01031|881|1270|1500|120|60|61|F&O|
APOLLOHOSP|Apollo Hospitals Enterprise Ltd.|health|INE437A01024|157|7080|420|125|75|10|F&O|
TRENT|Trent Ltd.|shops|INE849A01020|1964|4290|900|170|105|22|F&O|
TATACONSUM|Tata Consumer Products Ltd.|goods|INE192A01025|3432|1190|1300|115|70|66|F&O|
WIPRO|Wipro Ltd.|it|INE075A01022|3787|266|8500|120|85|285|F&O|
MAXHEALTH|Max Healthcare Institute Ltd.|health|INE027H01010|22377|1050|1900|150|80|74|F&O|2020-08-21
ADANIENT|Adani Enterprises Ltd.|metals|INE423A01024|25|2260|1200|160|125|30|F&O|
CRISIL|CRISIL Ltd.|money|INE007A01025|757|4450|45|130|55|2|20|
ABBOTINDIA|Abbott India Ltd.|health|INE358A01014|17903|28600|9|110|40|1|20|
CASTROLIND|Castrol India Ltd.|oil|INE172A01027|1250|190|2600|125|70|48|20|
EMAMILTD|Emami Ltd.|goods|INE548C01032|13517|520|420|125|60|20|20|
HONAUT|Honeywell Automation India Ltd.|capital|INE671A01010|3417|32900|4|115|50|1|20|
GILLETTE|Gillette India Ltd.|goods|INE322A01010|1576|8150|14|135|45|1|20|
BLUEDART|Blue Dart Express Ltd.|services|INE233B01017|495|5480|17|145|55|1|20|
TTKPRESTIG|TTK Prestige Ltd.|durables|INE690A01028|3546|615|75|130|50|4|20|
BAYERCROP|Bayer Cropscience Ltd.|chemicals|INE462A01022|17927|4480|22|120|45|1|10|
3MINDIA|3M India Ltd.|diverse|INE470A01017|474|35400|3|120|45|1|5|
"""


@dataclass(frozen=True, slots=True)
class Profile:
    """A stock and the constants of its process."""

    listing: Listing
    base: Paise
    day_shares: int
    volatility_bp: int  # of an average session, open to close
    beta_percent: int
    float_shares: int
    band_percent: int
    listed_on: date

    @property
    def ticker(self) -> str:
        return self.listing.ticker

    @property
    def in_index(self) -> bool:
        return self.listing.symbol_class is SymbolClass.FNO

    @property
    def turnover_crore(self) -> int:
        """Of an average day, in crore rupees: what liquidity goes by."""
        return max(1, self.base * self.day_shares // 1_000_000_000)


def profiles(count: int) -> tuple[Profile, ...]:
    """The first so many."""
    found = _all()
    if not 1 <= count <= len(found):
        raise ConfigError(f"{count} symbols: the synthetic market has 1 to {len(found)}")
    return found[:count]


def leader_of(profile: Profile) -> Profile:
    """The first of its industry in the whole table, however many are listed: itself for the large ones."""
    return next(other for other in _all() if other.listing.industry == profile.listing.industry)


def known(ticker: str) -> Profile | None:
    """Of the whole table."""
    return next((profile for profile in _all() if profile.ticker == ticker), None)


def index_listing() -> Listing:
    """NIFTY 50: shown, not traded; it closes when its constituents do."""
    return Listing(INDEX_TICKER, INDEX_TICKER, INDEX_TOKEN, INDEX_TICK, series="", is_index=True)


def tick_of(price: Paise) -> Paise:
    """By the exchange's slabs of 15 April 2025 (kite.md 3.6)."""
    return Paise(next((tick for below, tick in _SLABS if price < below * 100), _TICK_ABOVE))


@cache
def _all() -> tuple[Profile, ...]:
    return tuple(_profile(line.split("|")) for line in _TABLE.splitlines())


def _profile(row: list[str]) -> Profile:
    ticker, name, industry, isin, token, rupees, thousands, volatility, beta, crores, band, listed = row
    base = Paise(int(rupees) * 100)
    is_fno = band == "F&O"
    listing = Listing(
        ticker=ticker,
        name=name,
        exchange_token=int(token),
        tick=tick_of(base),
        symbol_class=SymbolClass.FNO if is_fno else SymbolClass.OTHER,
        industry=_INDUSTRIES[industry],
        isin=isin,
    )
    return Profile(
        listing=listing,
        base=base,
        day_shares=int(thousands) * 1_000,
        volatility_bp=int(volatility),
        beta_percent=int(beta),
        float_shares=int(crores) * 10_000_000,
        band_percent=FNO_BAND_PERCENT if is_fno else int(band),
        listed_on=date.fromisoformat(listed) if listed else FIRST_DAY,
    )
