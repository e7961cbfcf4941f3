"""Reports as JUnit XML, which continuous integration servers show as tests."""

from __future__ import annotations

import re
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring  # written only

from kintsugi.model.config import Diagnostic, Severity
from kintsugi.policy.diagnostics import format_diagnostic
from kintsugi.policy.lint import LintReport
from kintsugi.replay.reports.words import describe
from kintsugi.replay.results import CaseOutcome, CaseResult, RunReport

# What XML 1.0 §2.2 does not allow, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lint(report: LintReport) -> str:
    """Each diagnostic is a case: errors fail, warnings pass with their text as output."""
    root = Element("testsuites", name="kt policy lint")
    suite = SubElement(root, "testsuite", name=_xml(report.file))
    for diagnostic in report.diagnostics:
        _diagnostic_case(suite, diagnostic)
    if not report.diagnostics:
        _case(suite, "valid", report.file, 1)
    return _document(root)


def run(report: RunReport) -> str:
    """One suite per suite of the configuration; trouble with the run is a suite of its own."""
    root = Element("testsuites", name="kt policy test")
    if report.errors:
        suite = SubElement(root, "testsuite", name="files")
        for diagnostic in report.errors:
            _diagnostic_case(suite, diagnostic)
    for name, results in groupby(report.results, key=lambda result: result.suite):
        suite = SubElement(root, "testsuite", name=_xml(name))
        for result in results:
            _run_case(suite, result)
    if report.trouble:
        suite = SubElement(root, "testsuite", name="run")
        for trouble in report.trouble:
            case = _case(suite, trouble, report.file, 1)
            SubElement(case, "failure", message=_xml(trouble), type="run")
    return _document(root)


def _diagnostic_case(suite: Element, diagnostic: Diagnostic) -> None:
    name = f"{diagnostic.code} {diagnostic.path}".rstrip()
    case = _case(suite, name, diagnostic.file, diagnostic.position.line)
    if diagnostic.severity is Severity.ERROR:
        trouble = SubElement(case, "failure", message=_xml(diagnostic.message))
        trouble.attrib["type"] = diagnostic.code
    else:
        trouble = SubElement(case, "system-out")
    trouble.text = _xml(format_diagnostic(diagnostic))


def _run_case(suite: Element, result: CaseResult) -> None:
    case = _case(suite, result.name, result.file, result.position.line)
    lines = describe(result)
    match result.outcome:
        case CaseOutcome.SKIP:
            SubElement(case, "skipped", message=_xml(result.why))
        case CaseOutcome.FAIL | CaseOutcome.ERROR as outcome:
            tag = "failure" if outcome is CaseOutcome.FAIL else "error"
            trouble = SubElement(case, tag, message=_xml(lines[0]), type=outcome.value)
            trouble.text = _xml("\n".join(lines))


def _case(suite: Element, name: str, file: str, line: int) -> Element:
    return SubElement(
        suite,
        "testcase",
        name=_xml(name),
        classname=suite.attrib["name"],
        file=_xml(file),
        line=str(line),
    )


def _document(root: Element) -> str:
    """Fill in the counts, which readers of this format insist on."""
    for suite in root:
        suite.attrib |= {
            "tests": str(len(suite)),
            "failures": str(len(suite.findall("testcase/failure"))),
            "errors": str(len(suite.findall("testcase/error"))),
            "skipped": str(len(suite.findall("testcase/skipped"))),
        }
    for count in ("tests", "failures", "errors", "skipped"):
        root.attrib[count] = str(sum(int(suite.attrib[count]) for suite in root))
    indent(root)
    body: str = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
