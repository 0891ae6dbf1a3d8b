"""Only what is markup by its type gets into a document as markup."""

from trainer_service.report.markup import join, raw, tag

EVIL = "<img src=x onerror=\"alert('1')\">"


def test_text_is_escaped_wherever_it_stands():
    assert tag("p", EVIL) == "<p>&lt;img src=x onerror=&quot;alert(&#x27;1&#x27;)&quot;&gt;</p>"
    assert "<img" not in tag("p", title=EVIL)
    assert '"alert' not in tag("p", title=EVIL)
    assert "<img" not in tag("ul", [tag("li", [EVIL])])


def test_markup_is_not_escaped_twice():
    assert tag("b", tag("i", "a & b")) == "<b><i>a &amp; b</i></b>"
    assert join([raw("<br>"), 3, None, "<"]) == "<br>3&lt;"


def test_attributes_are_spelt_as_in_html():
    element = tag("rect", class_="a", stroke_width=2, viewBox="0 0 1 1", x=1 / 3, title=None)

    assert element == '<rect class="a" stroke-width="2" viewBox="0 0 1 1" x="0.3333333"></rect>'


def test_void_elements_have_no_end():
    assert tag("img", alt="") == '<img alt="">'
