"""Words, sentences, names, numbers and tags, drawn by chance, from which pages are made."""

from __future__ import annotations

import calendar
import random
import re
from pathlib import Path

PROSE = Path(__file__).parents[1].joinpath("prose.txt").read_text(encoding="utf-8")
PARAGRAPHS = [" ".join(paragraph.split()) for paragraph in PROSE.split("\n\n") if paragraph.strip()]
SENTENCES = [each for text in PARAGRAPHS for each in re.split(r"(?<=[.!?]) (?=[A-Z\"])", text) if len(each) > 25]
WORDS = sorted(set(re.findall(r"[a-z]{3,}", PROSE)))

FIRST = "Anna Bela Carlos Dora Emeka Fatima Goran Hana Ivan Judith Kofi Lena Mira Noah Olga Pavel Rosa Selim Tara Yusuf"
LAST = "Abara Baptiste Conti Duarte Eriksen Fofana Gruber Halloran Iqbal Jansen Kowal Lindqvist Moreau Novak Okafor"
CITIES = "Aldbrook Brackwater Corvale Dunmere Eastleigh Farrow Glenholt Harbourne Ilford Jarrow Kelso Larkspur Marlow"
MONTHS = list(calendar.month_name)[1:]
DAYS = list(calendar.day_name)
SHOPS = "Corner Bakery,Northgate Fuel,Harbour Books,City Transport,Green Grocer,Mobile One,Rail Direct,Metro Parking"

CHINESE = [
    "本公司根据有关规定制定以下办法",
    "各部门应当按照要求认真执行",
    "项目申请人须提交完整材料",
    "审核结果将在十个工作日内公布",
    "如有疑问请与办公室联系",
    "费用由申请单位承担",
    "未经许可不得转载",
    "会议由副主任主持",
    "全体成员一致通过",
    "工程质量符合标准",
    "合同双方应遵守本协议",
    "学生须按时到校上课",
    "图书馆每天上午九点开放",
    "天气寒冷请注意保暖",
    "产品保修期为一年",
    "电话号码已经更改",
]
JAPANESE = [
    "お支払いは月末までにお願いします",
    "会議室は三階にあります",
    "本日の営業は終了しました",
    "ご利用ありがとうございました",
]
RUSSIAN = [
    "Заседание открыл председатель комитета",
    "Оплата производится до конца месяца",
    "Вход только для сотрудников",
    "Документы принимаются по рабочим дням",
    "Результаты будут объявлены позднее",
    "Просим соблюдать тишину в зале",
]
ARABIC = ["يرجى تقديم المستندات في الموعد", "الدخول للموظفين فقط", "تم تحديث البيانات بنجاح"]


class Words:
    """What one page is made of; the same seed draws the same."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def word(self) -> str:
        return self.rng.choice(WORDS)

    def phrase(self, least: int, most: int) -> str:
        return " ".join(self.rng.sample(WORDS, self.rng.randint(least, most)))

    def title(self) -> str:
        return self.phrase(2, 5).capitalize()

    def name(self) -> str:
        return f"{self.rng.choice(FIRST.split())} {self.rng.choice(LAST.split())}"

    def city(self) -> str:
        return self.rng.choice(CITIES.split())

    def shop(self) -> str:
        return self.rng.choice(SHOPS.split(","))

    def sentence(self) -> str:
        """A real one, or words in a row."""
        return self.rng.choice(SENTENCES) if self.rng.random() < 0.6 else self.phrase(6, 16).capitalize() + "."

    def paragraph(self, characters: int) -> str:
        """Sentences of about so many characters, all different."""
        text = " ".join(self.rng.sample(SENTENCES, len(SENTENCES)))
        while len(text) < characters:
            text += " " + self.phrase(6, 16).capitalize() + "."
        return text[:characters].rsplit(" ", 1)[0] + "." if characters < len(text) else text

    def chinese(self, clauses: int) -> str:
        return "、".join(self.rng.sample(CHINESE, clauses)) + "。"

    def amount(self) -> str:
        return f"{self.rng.randint(1, 9999):,}.{self.rng.randint(0, 99):02}"

    def date(self) -> str:
        return f"{self.rng.randint(1, 28):02}/{self.rng.randint(1, 12):02}/{self.rng.randint(1995, 2025)}"

    def time(self) -> str:
        return f"{self.rng.randint(0, 23):02}:{self.rng.randint(0, 59):02}"


def tag(label: str, left: int, top: int, right: int, bottom: int) -> str:
    """What the model writes before a block."""
    return f"<|ref|>{label}<|/ref|><|det|>[[{left}, {top}, {right}, {bottom}]]<|/det|>\n"


def row(cells: list[str]) -> str:
    """A row of an HTML table."""
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def table(rows: list[list[str]]) -> str:
    """A whole HTML table."""
    return "<table>" + "".join(map(row, rows)) + "</table>"


def tagged(words: Words, paragraphs: list[str], label: str = "text") -> str:
    """Blocks down the page, each with its box."""
    top, blocks = words.rng.randint(20, 80), []
    step = max(4, 900 // max(1, len(paragraphs)))
    left, right = words.rng.randint(40, 150), words.rng.randint(800, 960)
    for paragraph in paragraphs:
        blocks.append(tag(label, left, top, right, top + step - 2) + paragraph + "\n\n")
        top += step
    return "".join(blocks)
