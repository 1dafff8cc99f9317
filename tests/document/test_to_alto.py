"""ALTO as its schema has it: description, tags and layout, in this order, and every place in pixels."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from written_pages import any_transcript, model_texts, transcript_of

from dsocr.document import Block, Box, Document, Transcript
from dsocr.document.to_alto import to_alto

ALTO = "{http://www.loc.gov/standards/alto/ns-v4#}"
SIDES = ("HPOS", "VPOS", "WIDTH", "HEIGHT")
TEXT = Block("text", (Box(0, 0, 999, 500),), 'Fish & <chips>\nfor "two"')
PAGE = Transcript(4, 200, 100, "", (TEXT, Block("image", (Box(0, 500, 999, 999),), "")))
# What the schema lets stand in each element, in its order; a star for any number.
INSIDE = {
    "alto": ["Description", "Tags", "Layout"],
    "Description": ["MeasurementUnit", "sourceImageInformation", "Processing"],
    "Processing": ["processingCategory", "processingSoftware"],
    "processingSoftware": ["softwareName", "softwareVersion"],
    "Page": ["PrintSpace"],
}


def parse_alto(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def all_of(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return list(root.iter(ALTO + name))


def names(element: ElementTree.Element) -> list[str]:
    return [child.tag.removeprefix(ALTO) for child in element]


def test_words_are_in_lines_and_lines_in_blocks():
    (block,) = all_of(parse_alto(to_alto(PAGE)), "TextBlock")
    first, second = block
    assert names(first) == ["String", "SP", "String", "SP", "String"]
    assert [word.get("CONTENT") for word in all_of(block, "String")] == ["Fish", "&", "<chips>", "for", '"two"']
    assert names(second) == ["String", "SP", "String"]


def test_elements_stand_in_the_order_of_the_schema():
    root = parse_alto(to_alto(Document("a.pdf", (PAGE,))))
    assert root.tag == ALTO + "alto"
    for name, inside in INSIDE.items():
        (element,) = all_of(root, name)
        assert names(element) == inside
    (unit,) = all_of(root, "MeasurementUnit")
    assert unit.text == "pixel"


def test_a_page_says_its_number_its_size_its_source_and_how_it_ended():
    pages = (PAGE, Transcript(5, 0, 0, "", (), "failed", 'the "page" is damaged'))
    root = parse_alto(to_alto(Document("a <b>.pdf", pages)))
    one, other = all_of(root, "Page")
    assert one.attrib == {"ID": "page_1", "PHYSICAL_IMG_NR": "4", "WIDTH": "200", "HEIGHT": "100"}
    assert other.get("QUALITY_DETAIL") == 'failed: the "page" is damaged'
    assert all_of(root, "fileName")[0].text == "a <b>.pdf"


def test_a_blocks_label_is_its_tag():
    root = parse_alto(to_alto(PAGE))
    labels = {tag.get("ID"): tag.get("LABEL") for tag in all_of(root, "LayoutTag")}
    (block,) = all_of(root, "TextBlock")
    (figure,) = all_of(root, "Illustration")
    assert [labels[element.get("TAGREFS")] for element in (block, figure)] == ["text", "image"]
    assert [figure.get(side) for side in SIDES] == ["0", "50", "200", "50"]


def test_hebrew_is_marked_as_running_from_the_right():
    raw = "<|ref|>text<|/ref|><|det|>[[0, 0, 999, 100]]<|/det|>\n" + "שלום עולם"
    (line,) = all_of(parse_alto(to_alto(transcript_of(raw))), "TextLine")
    assert line.get("BASEDIRECTION") == "rtl"


@given(any_transcript)
def test_whatever_was_written_it_can_be_parsed_and_all_lies_on_the_page(transcript):
    root = parse_alto(to_alto(Document("name\ud800\x00", (transcript, transcript))))
    ids = [element.get("ID") for element in root.iter() if element.get("ID")]
    assert len(ids) == len(set(ids))
    assert {tag for element in root.iter() for tag in (element.get("TAGREFS") or "").split()} <= set(ids)
    for element in (*all_of(root, "TextBlock"), *all_of(root, "TextLine"), *all_of(root, "String")):
        left, top, width, height = (int(element.get(side)) for side in SIDES)
        assert min(left, top) >= 0 < min(width, height)
        assert left + width <= max(1, transcript.width)
        assert top + height <= max(1, transcript.height)


@given(model_texts)
def test_whatever_a_model_writes_can_be_parsed(text):
    assert len(all_of(parse_alto(to_alto(transcript_of(text))), "Page")) == 1
