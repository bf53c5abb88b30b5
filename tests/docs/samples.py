# SPDX-License-Identifier: MIT
"""The samples of README.md, docs/guide.md and lock.h: all compile, and whole programs run.

A comment in the line before a fence, which a reader does not see, says what a C sample is:

    <!-- sample: program -->     a whole program; it is also linked, and run if RUN has it
    <!-- sample: file -->        a whole source file, compiled as it stands
    <!-- sample: functions -->   declarations and functions, behind frame.h
    <!-- sample: body -->        statements, in a function behind frame.h; may end with a return

The program at the top of lock.h is a body, too, with a client and a lock of its own.

C samples are C99. With ", c++" in the comment they are C++17 as well. Samples in ```cpp are C++17
only. The shell parses each ```sh, and the scripts that it calls exist. scripts/check-packaging
builds each ```cmake. All code in README's table of builds is also in the guide, from where
scripts/check-packaging takes it.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
README = "README.md"
GUIDE = "docs/guide.md"
HEADER = "include/resplock/lock.h"
README_LINES = 200
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror".split()
KINDS = ("program", "file", "functions", "body")
UNCHECKED = ("ini",)  # the configuration of another program
COMPILERS = {"c": ["gcc", "-x", "c", "-std=c99"], "cpp": ["g++", "-x", "c++", "-std=c++17"]}
# A fence, and the line before it.
FENCE = re.compile(r"^([^\n]*)\n```(\w*)\n(.*?)^```$", re.M | re.S)
MARK = re.compile(r"<!-- sample: (\w+)(, c\+\+)? -->")


class Sample:
    def __init__(self, name, text, match):
        self.file = name
        self.line = text.count("\n", 0, match.start(3)) + 1
        self.language = match[2]
        self.code = match[3]
        mark = MARK.fullmatch(match[1])
        self.kind = mark[1] if mark else None
        self.languages = ["cpp"] if self.language == "cpp" else ["c"]
        if mark and mark[2]:
            self.languages.append("cpp")

    def __str__(self):
        return f"{self.file}:{self.line}"

    def source(self):
        at = f'#line {self.line} "{self.file}"\n'
        if self.kind == "functions":
            return f'#include "frame.h"\n{at}{self.code}'
        if self.kind == "body":
            return (f'#include "frame.h"\nint sample(void);\nint sample(void)\n{{\n{at}{self.code}'
                    "return 0;\n}\n")
        return at + self.code


# What the program at the top of lock.h has of its own, and frame.h too.
OWN = "#define redis redis_of_frame\n#define lock lock_of_frame\n", "#undef redis\n#undef lock\n"


# It is indented behind the star of its comment.
HEADER_PROGRAM = re.compile(r"^ \*     rlk_posix_client \w+;\n"
                            r"(?: \*(?:     .*)?\n)*?"
                            r" \*     rlk_posix_close\(.*\n", re.M)


class HeaderSample:
    """The program at the top of lock.h."""
    languages = ("c", "cpp")

    def __init__(self, text):
        match = HEADER_PROGRAM.search(text)
        self.line = text.count("\n", 0, match.start()) + 1 if match else 0
        self.code = re.sub(r"^ \*(?:     )?", "", match[0], flags=re.M) if match else ""

    def __str__(self):
        return f"{HEADER}:{self.line}"

    def source(self):
        return (f'{OWN[0]}#include "frame.h"\n{OWN[1]}int sample(void);\nint sample(void)\n{{\n'
                f'#line {self.line} "{HEADER}"\n{self.code}return 0;\n}}\n')


def samples_of(name, text):
    return [Sample(name, text, match) for match in FENCE.finditer(text)]


def compiled(sample, language):
    """What the compiler says against it."""
    # The one-file form has its implementation behind a macro.
    folder = "single" if "RESPLOCK_IMPLEMENTATION" in sample.code else "include"
    glib = []  # GLib's headers are in folders of its own
    if "adapters/glib.h" in sample.code:
        glib = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], capture_output=True, text=True,
                              check=True).stdout.replace("-I", "-isystem").split()
    done = subprocess.run(
        COMPILERS[language] + WARNINGS + glib + ["-fsyntax-only", f"-I{TOP}/{folder}",
                                          f"-I{TOP}/tests/docs", "-"],
        input=sample.source(), capture_output=True, text=True, check=False)
    return f"{sample} does not compile as {language}:\n{done.stderr}" if done.returncode else None


def shell(sample):
    done = subprocess.run(["bash", "-n"], input=sample.code, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        yield f"{sample}: the shell can't parse it: {done.stderr}"
    for script in re.findall(r"^scripts/[\w-]+", sample.code, re.M):
        if not os.access(TOP / script, os.X_OK):
            yield f"{sample}: no {script}"


def samples(texts, packaging):
    """What is wrong with the samples of these texts, by name."""
    jobs = []
    for name, text in texts.items():
        for sample in samples_of(name, text):
            if sample.language in COMPILERS:
                if sample.kind not in KINDS:
                    yield f"{sample}: no <!-- sample: {'|'.join(KINDS)} --> in the line before it"
                else:
                    jobs += [(sample, language) for language in sample.languages]
            elif sample.language == "sh":
                yield from shell(sample)
            elif sample.language == "cmake":
                if not any(re.search(word, sample.code) for word in packaging):
                    yield f"{sample}: scripts/check-packaging does not build it"
            elif sample.language not in UNCHECKED:
                yield f"{sample}: a sample in no language that is checked"
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(lambda job: compiled(*job), jobs))


def packaging_patterns(script):
    """The words by which scripts/check-packaging picks its blocks of CMake."""
    return re.findall(r"block cmake '?(\w+)", script)


def builds(readme, guide):
    """What is wrong with README's table of builds: its code is not what is built."""
    section = re.search(r"^## Adding it to a build\n(.*?)^## ", readme, re.M | re.S)
    blocks = "\n".join(match[3] for match in FENCE.finditer(guide))
    codes = re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\|.*", section[1], re.M))
                       ) if section else []
    for code in codes:
        if code not in blocks:
            yield f"{README}: not in {GUIDE}: {code}"
    if len(codes) < 5:
        yield f"{README}: only {len(codes)} pieces of code in the table of builds"


def length(readme):
    lines = readme.count("\n")
    if lines > README_LINES:
        yield f"{README}: {lines} lines; {README_LINES} are the most"


def anchors(text):
    """Those that a forge gives to headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.M)}


def links(texts):
    """Links from these texts, by name, to files and headings that are not there."""
    for name, text in texts.items():
        text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
            path = os.path.normpath(os.path.join(os.path.dirname(name), target)) if target else name
            if not (TOP / path).exists():
                yield f"{name}: no such file: {target}"
            elif anchor and anchor not in anchors(texts.get(path) or (TOP / path).read_text()):
                yield f"{name}: no such heading: {target}#{anchor}"


# ---- Whole programs, run ------------------------------------------------------------------------

def run(folder, *arguments):
    """(status, standard output, standard error) of the smallest program."""
    done = subprocess.run([f"{folder}/smallest", *arguments], capture_output=True, text=True,
                          timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


def command(folder, *words):
    return subprocess.run(["redis-cli", "-s", f"{folder}/s", *words], capture_output=True,
                          text=True, check=True).stdout.strip()


def smallest(sample, folder):
    """What the first program of README does otherwise than README says."""
    # A wait that is over soon: nothing else is changed.
    source, replaced = re.subn(r"\b5000\b", "200", sample.code)
    if replaced != 1:
        yield f"{sample}: its wait of 5000 ms is not there once"
        return
    built = subprocess.run(
        ["gcc", "-x", "c", "-std=c99", f"-I{TOP}/single", "-DRESPLOCK_STATIC",
         "-Wno-unused-function", "-", "-o", f"{folder}/smallest"],
        input=source, capture_output=True, text=True, check=False)
    if built.returncode:
        yield f"{sample} can't be built:\n{built.stderr}"
        return
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", f"{folder}/s", "--save", "", "--dir",
         folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if os.path.exists(f"{folder}/s"):
                break
            time.sleep(0.02)
        url = f"unix://{folder}/s"
        acquire = 'acquire "reports:nightly": '
        cases = [("success", url, 0, "working on piece 3\n", ""),
                 ("wrong URL", "http://localhost", 1, "", "E_URL_SCHEME: "),
                 ("no server", f"unix://{folder}/none", 1, "", acquire + "E_CONNECT"),
                 ("held lock", url, 1, "", acquire + "TIMED_OUT")]
        for what, at, status, output, error in cases:
            if what == "held lock":
                command(folder, "SET", "reports:nightly", "somebody")
            done = run(folder, at)
            said = f"{sample}, {what}: status {done[0]}\n{done[1]}{done[2]}"
            if done[0] != status or not done[1].endswith(output) or not done[2].startswith(error):
                yield said
            elif (done[1] == "") != (output == "") or (done[2] == "") != (error == ""):
                yield said
            if what == "success" and command(folder, "EXISTS", "reports:nightly") != "0":
                yield f"{sample}: the key is still there"
    finally:
        server.terminate()
        server.wait()


def programs(readme):
    found = [sample for sample in samples_of(README, readme) if sample.kind == "program"]
    if len(found) != 1:
        yield f"{README}: {len(found)} whole programs"
        return
    with tempfile.TemporaryDirectory() as folder:
        yield from smallest(found[0], folder)


# ---- All ----------------------------------------------------------------------------------------

def header(text):
    """What is wrong with the program at the top of lock.h."""
    sample = HeaderSample(text)
    if not sample.code:
        yield f"{HEADER}: no program at the top"
    else:
        yield from filter(None, (compiled(sample, language) for language in sample.languages))


def wrong():
    """What is wrong with README, guide and lock.h."""
    texts = {name: (TOP / name).read_text() for name in (README, GUIDE)}
    packaging = packaging_patterns((TOP / "scripts/check-packaging").read_text())
    yield from length(texts[README])
    yield from links(texts)
    yield from builds(texts[README], texts[GUIDE])
    yield from samples(texts, packaging)
    yield from programs(texts[README])
    yield from header((TOP / HEADER).read_text())
    count = sum(len(samples_of(name, text)) for name, text in texts.items())
    if count < 15:
        yield f"only {count} samples found"


def broken(mark, code, language="c"):
    """A document with one sample."""
    return f"Text.\n\n{mark}\n```{language}\n{code}\n```\n"


BODY = "<!-- sample: body -->"
BOTH = "<!-- sample: body, c++ -->"
# Documents with one mistake each, and how the complaint about it begins.
BROKEN = [
    (broken("", "rlk_release(&lock);"), "x.md:5: no <!-- sample"),
    (broken("<!-- sample: fragment -->", "rlk_release(&lock);"), "x.md:5: no <!-- sample"),
    (broken(BODY, "rlk_unlock(&lock);"), "x.md:5 does not compile as c:"),
    (broken(BODY, "rlk_extend(&lock);"), "x.md:5 does not compile as c:"),
    (broken(BODY, "int unused;"), "x.md:5 does not compile as c:"),
    (broken(BODY, "int32_t left = rlk_remaining_ms(&lock);\nreturn left > 0;"),
     "x.md:5 does not compile as c:"),
    (broken(BODY, "rlk_lock lock;\nrlk_lock_close(&lock);"), "x.md:5 does not compile as c:"),
    (broken(BOTH, "rlk_posix_options options = {.db = 3};\nreturn options.db;"),
     "x.md:5 does not compile as cpp:"),
    (broken("<!-- sample: functions -->", "rlk_release(&lock);"), "x.md:5 does not compile as c:"),
    (broken("<!-- sample: file -->", "int n = RLK_MAX_NODES;"), "x.md:5 does not compile as c:"),
    (broken(BODY, "rlk_scoped held(&redis.client);", "cpp"), "x.md:5 does not compile as cpp:"),
    (broken("", "rlk_release(&lock);", ""), "x.md:5: a sample in no language"),
    (broken("", "if true; then", "sh"), "x.md:5: the shell can't parse it"),
    (broken("", "scripts/nonsense", "sh"), "x.md:5: no scripts/nonsense"),
    (broken("", "include(resplock)", "cmake"), "x.md:5: scripts/check-packaging does not build"),
]


def self_test():
    """What the checks miss of documents that are known to be wrong."""
    good = broken(BOTH, "rlk_release(&lock);")
    yield from (f"complains of what is right: {said}" for said in samples({"x.md": good}, []))
    for text, begin in BROKEN:
        said = list(samples({"x.md": text}, ["add_subdirectory"]))
        if len(said) != 1 or not said[0].startswith(begin):
            yield f"wanted one complaint {begin!r} of\n{text}got {said}"
    readme = (TOP / README).read_text()
    guide = (TOP / GUIDE).read_text()
    top = (TOP / HEADER).read_text()
    for what, said in (
            ("a README that is too long", length("\n" * (README_LINES + 1))),
            ("a file that is missing", links({README: readme.replace("LICENSE)", "COPYING)")})),
            ("a heading that is missing",
             links({README: readme.replace("## Limits", "## Bounds")})),
            ("a way to build that is not built",
             builds(readme.replace("resplock 0.1", "resplock 9"), guide)),
            ("a program that keeps its lock",
             programs(readme.replace("rlk_release(&lock)", "RLK_OK"))),
            ("a program that is silent",
             programs(readme.replace('"%s\\n", rlk_lock_error', '"", rlk_lock_error'))),
            ("a header without a program", header(top.replace("rlk_posix_client redis", ""))),
            ("a header whose program is wrong", header(top.replace(" *     rlk_lock lock;", " *"))),
            ("a remark in a header's program", header(top.replace("// posix.h", "(posix.h)")))):
        if not list(said):
            yield f"misses {what}"
