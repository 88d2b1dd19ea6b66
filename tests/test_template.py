"""A template is split once; whatever the prompt contains, it stays what it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.errors import ConfigError, InvalidCallError, PromptTooLargeError
from leyline.template import MAX_ARGUMENT_BYTES, CommandTemplate

SEED = "gemini -p '{prompt}' {files}"
NASTY = "it's {x} $(id) \" --yolo"


def fill(template: str, prompt: str = "hi", **values: object) -> tuple[str, ...]:
    return CommandTemplate.parse(template).fill("svc", command="tool", prompt=prompt, **values)


def test_the_seeds_template_keeps_the_prompt_and_takes_files():
    assert fill(SEED, NASTY, files=["a b.py", "c.py"]) == (
        "gemini", "-p", NASTY, "@a b.py", "@c.py",
    )  # fmt: skip


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_prompt_is_one_argument_unchanged(prompt: str):
    if prompt.startswith("-"):
        with pytest.raises(InvalidCallError, match="read as an option"):
            fill(SEED, prompt)
        assert fill("tool --prompt={prompt}", prompt) == ("tool", f"--prompt={prompt}")
    else:
        assert fill(SEED, prompt) == ("gemini", "-p", prompt)


@pytest.mark.parametrize(
    ("template", "model", "argv"),
    [
        ("{command} -m {model} run", "big", ("tool", "-m", "big", "run")),
        ("{command} -m {model} run", None, ("tool", "run")),
        ("{command} --model={model} run", None, ("tool", "run")),
        ("{command} {model} run", None, ("tool", "run")),
        ("{command} --sandbox --model={model}", None, ("tool", "--sandbox")),
        ("{command} --sandbox x/{model} run", None, ("tool", "--sandbox", "run")),
        ("{command} --dir {tmpdir}/x", None, ("tool", "--dir", "/t/x")),
        ("'{command}' '' {{literal}}", None, ("tool", "", "{literal}")),
    ],
)
def test_placeholders(template: str, model: str | None, argv: tuple[str, ...]):
    assert fill(template, model=model, tmpdir="/t") == argv


def test_file_arguments_are_repeated_and_never_options():
    template = CommandTemplate.parse("tool {files}", file_args=("-f", "{file}"))
    argv = template.fill("svc", command="tool", files=["a", "--evil"])
    assert argv == ("tool", "-f", "a", "-f", "./--evil")


def test_a_model_that_looks_like_an_option_is_refused():
    with pytest.raises(InvalidCallError, match="model begins with"):
        fill("tool -m {model}", model="--yolo")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("tool '{prompt}", "no closing quotation"),
        ("tool {prompt", "expected '}'"),
        ("tool }", "single '}'"),
        ("tool {promt}", 'unknown placeholder "{promt}".*did you mean "{prompt}"'),
        ("tool {}", 'unknown placeholder "{}"'),
        ("tool {prompt!r}", "unknown placeholder"),
        ("tool -f{files}", "must stand alone"),
        ("", "expected a command"),
        ("{prompt} now", '"{prompt}" cannot be the program.*{command}'),
        ("/usr/bin/{prompt}", '"{prompt}" cannot be the program'),
        ("{files}", '"{files}" cannot be the program'),
        ("{command}-{model} x", '"{model}" cannot be the program'),
    ],
)
def test_a_wrong_template_says_what_is_wrong(template: str, message: str):
    with pytest.raises(ConfigError, match=message):
        CommandTemplate.parse(template)


def test_an_argument_of_128_kib_is_refused_before_anything_starts():
    longest = "x" * MAX_ARGUMENT_BYTES
    assert fill("tool {prompt}", longest)[1] == longest
    with pytest.raises(PromptTooLargeError, match="131,072 bytes.*standard input"):
        fill("tool {prompt}", longest + "x")
    with pytest.raises(PromptTooLargeError):
        fill("tool {prompt}", "é" * (MAX_ARGUMENT_BYTES // 2 + 1))


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("tool {prompt}", {"prompt": "a\ud800"}),
        ("tool -m {model}", {"model": "b\ud800"}),
        (SEED, {"files": ["\ud800"]}),
    ],
)
def test_half_a_character_is_refused(template: str, values: dict[str, str]):
    with pytest.raises(InvalidCallError, match="lone surrogate at position 1, .*errors='replace'"):
        fill(template, **values)


def test_a_nul_is_refused():
    with pytest.raises(InvalidCallError, match="NUL"):
        fill("tool {prompt}", "a\0b")
