# SPDX-License-Identifier: Apache-2.0
"""Runs some tests of the pyverbs suite inside one process and reports each as a JSON line to a descriptor.

driver.py SUITE_DIR [--dev ... --port ... --gid ...] @list | TEST...

Does what the suite's run_tests.py does (same loading, same arguments), but for the reporting: its printed text cannot tell which
test was running when the process died.
"""
import json
import os
import sys
import unittest
from importlib.machinery import SourceFileLoader

FD = int(os.environ["PYVERBS_RESULTS_FD"])
OWNER = os.getpid()


def tell(**kw):
    if os.getpid() == OWNER:  # some tests fork
        os.write(FD, (json.dumps(kw) + "\n").encode())


class Result(unittest.TestResult):
    @staticmethod
    def name(test):
        return test.id().removeprefix("tests.")

    def startTest(self, test):
        super().startTest(test)
        self.outcome = ("pass", "")
        tell(event="start", test=self.name(test))

    def addSkip(self, test, reason):
        self.outcome = ("skip", reason)
        if not hasattr(test, "_testMethodName"):  # a class skipped as a whole
            tell(event="skip", test=self.name(test), reason=reason)

    def addFailure(self, test, err):
        self.outcome = ("fail", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        self.outcome = ("fail", self._exc_info_to_string(err, test))
        if not hasattr(test, "_testMethodName"):
            sys.stderr.write(self.outcome[1])

    def addSubTest(self, test, subtest, err):
        if err:
            self.addError(test, err)

    def stopTest(self, test):
        super().stopTest(test)
        tell(event=self.outcome[0], test=self.name(test), reason=self.outcome[1])


def flatten(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite):
            yield from flatten(t)
        else:
            yield t


def main():
    suite_dir = sys.argv.pop(1)
    sys.path.insert(0, suite_dir)
    from args_parser import parser
    tests = SourceFileLoader("tests", os.path.join(suite_dir, "__init__.py")).load_module()
    parser.parse_args()
    names = sys.argv[1:]
    loader = unittest.TestLoader()
    if names == ["@list"]:
        for t in flatten(loader.loadTestsFromModule(tests)):
            tell(test=Result.name(t))
        return 0
    suite = loader.loadTestsFromNames(names, module=tests)
    result = suite.run(Result())
    return 0 if result.wasSuccessful() else 1


sys.exit(main())
