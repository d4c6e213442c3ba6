"""The small city that `make up` begins with; data only."""

import math
from typing import Any

from domain.matching import AT_ONCE
from domain.settlement import PLATFORM

SITE_ID = "hangzhou-demo"
METERS_PER_DEGREE = 111_195
DELIVERY_METERS = 4_000
CORNERS = 8

PAYEES = {
    "wechat": "160000000",
    "alipay": "208800000000000",
    "card": "acct_demo",
    "bank": "6200000",
}
"""Channels, and how the numbers of their payees begin."""
SPLITTING = ("wechat", "alipay", "bank")
"""Channels at which the platform has an account, to be given its shares."""
REVENUE_FEN = 1_000_000
"""On the site's own account at the bank, to pay out from."""

SIZE = {
    "option_id": "size",
    "name": "份量",
    "required": True,
    "choices": [
        {"choice_id": "regular", "name": "标准", "add_fen": 0},
        {"choice_id": "large", "name": "大份", "add_fen": 400},
    ],
}
SPICE = {
    "option_id": "spice",
    "name": "辣度",
    "required": False,
    "choices": [
        {"choice_id": "none", "name": "不辣", "add_fen": 0},
        {"choice_id": "hot", "name": "特辣", "add_fen": 0},
    ],
}
SUGAR = {
    "option_id": "sugar",
    "name": "甜度",
    "required": True,
    "choices": [
        {"choice_id": "full", "name": "全糖", "add_fen": 0},
        {"choice_id": "half", "name": "半糖", "add_fen": 0},
    ],
}


def demo_city() -> dict[str, Any]:
    """Three shops by the West Lake, two customers, six riders, one zone."""
    shops = [
        _shop("congee", "老街粥铺", 30.2590, 120.1390, hours=[_hours("00:00", "00:00")], prep=8),
        _shop("noodles", "西湖面馆", 30.2558, 120.1445, hours=[_hours("10:00", "22:00")], prep=12),
        _shop("tea", "龙井茶饮", 30.2631, 120.1512, hours=[_hours("09:00", "23:30")], prep=5),
    ]
    names = [shop["shop_id"].removeprefix("demo-") for shop in shops]
    return {
        "site": {
            "site_id": SITE_ID,
            "name": "杭州（演示）",
            "time_zone": "Asia/Shanghai",
            "speed": 1,
            "always_open": False,
            "fee_rule": {"base_fen": 300, "base_meters": 1_000, "per_km_fen": 100},
            "timers": {},
        },
        "zones": [{"zone_id": "westlake", "rules": AT_ONCE}],
        "merchants": [
            *({"merchant_id": f"demo-{name}", "name": name, "payee": {}} for name in names),
            {"merchant_id": PLATFORM, "name": "跑腿平台有限公司"},
        ],
        "contracts": [{"commission_bp": 1_000, "delivered_by": "platform"}],
        "channel_accounts": _accounts(names),
        "shops": shops,
        "items": [
            _item("demo-congee", "pork-congee", "皮蛋瘦肉粥", 1_800, options=[SIZE]),
            _item("demo-congee", "fritter", "油条", 400),
            _item("demo-congee", "tea-egg", "茶叶蛋", 250, stock=500),
            _item("demo-noodles", "shrimp-noodles", "虾爆鳝面", 3_800, options=[SIZE, SPICE]),
            _item("demo-noodles", "cold-cucumber", "拍黄瓜", 900, stock=80),
            _item("demo-tea", "longjing-latte", "龙井拿铁", 1_900, options=[SUGAR]),
            _item("demo-tea", "osmanthus-jelly", "桂花冻", 1_200, stock=40),
        ],
        "customers": [
            {
                "customer_id": "customer-1",
                "openid": "oDemo0000000000000000000001",
                "payers": {"bank": "wallet-demo-1"},
            },
            {"customer_id": "customer-2", "openid": None},
        ],
        "riders": [
            {"rider_id": f"rider-{n}", "zone_id": "westlake", "payee": {}} for n in range(1, 7)
        ],
    }


def _accounts(names: list[str]) -> list[dict[str, Any]]:
    """The platform's at each channel, the site's own at the bank, each merchant's everywhere."""
    return [
        *(
            {
                "account_id": f"demo-{PLATFORM}-{channel}",
                "merchant_id": PLATFORM,
                "channel": channel,
                "mchid": f"{PAYEES[channel]}0",
            }
            for channel in SPLITTING
        ),
        {
            "account_id": "demo-bank",
            "merchant_id": "",
            "channel": "bank",
            "mchid": f"{PAYEES['bank']}9",
            "fund_fen": REVENUE_FEN,
        },
        *(
            {
                "account_id": f"demo-{name}-{channel}",
                "merchant_id": f"demo-{name}",
                "channel": channel,
                "mchid": f"{numbers}{number}",
            }
            for number, name in enumerate(names, 1)
            for channel, numbers in PAYEES.items()
        ),
    ]


def _shop(
    name: str, title: str, lat: float, lng: float, *, hours: list[dict[str, Any]], prep: int
) -> dict[str, Any]:
    return {
        "shop_id": f"demo-{name}",
        "merchant_id": f"demo-{name}",
        "zone_id": "westlake",
        "name": title,
        "lat": lat,
        "lng": lng,
        "opening_hours": hours,
        "delivery_area": _around(lat, lng),
        "prep_minutes": prep,
    }


def _hours(opens: str, closes: str) -> dict[str, Any]:
    return {"opens": opens, "closes": closes}


def _item(
    shop_id: str,
    item_id: str,
    name: str,
    price_fen: int,
    *,
    options: list[dict[str, Any]] | None = None,
    stock: int | None = None,
) -> dict[str, Any]:
    return {
        "shop_id": shop_id,
        "item_id": item_id,
        "name": name,
        "price_fen": price_fen,
        "packing_fen": 100,
        "options": options or [],
        "stock": stock,
    }


def _around(lat: float, lng: float) -> list[list[float]]:
    """A polygon about a place, `DELIVERY_METERS` to each corner."""
    north = DELIVERY_METERS / METERS_PER_DEGREE
    east = north / math.cos(math.radians(lat))
    turns = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    return [
        [round(lat + north * math.cos(turn), 6), round(lng + east * math.sin(turn), 6)]
        for turn in turns
    ]
