"""Each rule of the protocol of runs on one bucket, taken out of the code in turn: one of the cases then ends badly."""

import inspect
import textwrap

import pytest

from clean_corpus.pipeline.corpus import announcements, collection, rewriting, versions
from clean_corpus.pipeline.storage import lease
from tests.pipeline.corpus import test_protocol as cases
from tests.support.interleaving import LATENESS_S
from tests.support.protocol import Bucket

GONE, TWICE, OVER = "of version . is gone", "a number was given twice", "that had been taken over"
NEWER, REREAD = (
    "announcements.announced_commits(store, known[-1])",
    "_named(store, set(numbers(store)).difference(known))",
)

WEAKENED = {  # a rule -> the function it stands in, its text, a weaker one, the case that then ends badly, and how
    "commits are heeded by deletions": (
        collection, "_delete_announced", NEWER, "set()", cases.test_what_is_about_to_be_committed_is_not_deleted, GONE,
    ),
    "versions are read a second time": (
        collection, "_delete_announced", REREAD, "set()",
        cases.test_what_has_been_committed_since_the_versions_were_read_is_not_deleted, GONE,
    ),
    "... and after the commits": (
        collection, "_delete_announced", f"spared = {NEWER}\n        spared |= {REREAD}",
        f"spared = {REREAD}\n        spared |= {NEWER}",
        cases.test_what_has_been_committed_since_the_versions_were_read_is_not_deleted, GONE,
    ),
    "deletions are heeded by commits": (
        versions, "_refuse_lost", "announcements.announced_deletions(store)", "set()",
        cases.test_what_a_halted_collector_is_about_to_delete_is_not_committed, GONE,
    ),
    "deletions without an answer stay announced": (
        announcements, "end_deletion", "if doubtful", "if False",
        lambda bucket: cases.test_what_a_deletion_without_an_answer_may_take_is_not_committed(bucket, 0), GONE,
    ),
    "... for as long as a request may be late": (
        announcements, "announced_deletions", "age_s > store.lateness_s", "age_s > store.lateness_s / 4",
        lambda b: cases.test_what_a_deletion_without_an_answer_may_take_is_not_committed(b, LATENESS_S / 2 - 50), GONE,
    ),
    "... and nothing is deleted after half of that": (
        announcements, "while_held", "clock.now_s() - start_s > store.lateness_s / 2", "False",
        cases.test_a_collector_that_is_slow_deletes_nothing_that_its_announcement_no_longer_covers, GONE,
    ),
    "a commit without an answer stays announced": (
        versions, "publish", "    is_committed = store.create(",
        "    announcements.withdraw(store, announcement)\n    is_committed = store.create(",
        cases.test_what_a_commit_without_an_answer_names_is_not_deleted, GONE,
    ),
    "... as long as its base is the newest version": (
        announcements, "announced_commits", '["base"] < newest', '["base"] <= newest',
        cases.test_what_is_about_to_be_committed_is_not_deleted, GONE,
    ),
    "objects are looked at before a commit": (
        versions, "_refuse_lost", "if sizes.get(named.key) != named.size", "if False",
        lambda bucket: cases.test_a_version_whose_object_is_gone_or_cut_is_not_committed(bucket, None), GONE,
    ),
    "... and so is their size": (
        versions, "_refuse_lost", "if sizes.get(named.key) != named.size", "if named.key not in sizes",
        lambda bucket: cases.test_a_version_whose_object_is_gone_or_cut_is_not_committed(bucket, b"cut"), GONE,
    ),
    "a version is dropped before its objects are deleted": (
        collection, "gc", 'store.write(dropped_key(version), b"")', "pass",
        cases.test_what_a_halted_collector_is_about_to_delete_is_not_committed, GONE,
    ),
    "a dropped version's number stays taken": (
        collection, "_delete_dropped_manifests", "age_s <= store.lateness_s", "False",
        cases.test_a_halted_writer_finds_its_number_taken_although_that_version_was_dropped, GONE,
    ),
    "a commit is a conditional put": (
        versions, "publish", "is_committed = store.create(", "is_committed = not store.write(",
        cases.test_of_two_writers_with_one_base_one_commits, "of one base one version",
    ),
    "a forget takes a number, whatever the versions hold": (
        rewriting, "rewrite_all", "    if not is_changed:\n", "    if not is_changed:\n        return []\n    if 0:\n",
        lambda b: cases.test_a_halted_run_does_not_bring_back_what_was_forgotten_since(
            b, "create versions/0003/manifest.json", "bc"
        ), "is forgotten",
    ),
    "a rewritten version does not count before the last of them": (
        versions, "_newest", "if not manifest.follow", "if True",
        cases.test_what_is_forgotten_goes_from_every_version_and_the_newest_stays_the_newest, "assert",
    ),
    "old versions go once the rewriting is over": (
        rewriting, "rewrite_all", "collection.gc(store, keep)", "()",
        cases.test_a_halted_rollback_does_not_bring_back_what_was_forgotten_since, "is forgotten",
    ),
    "a claim ends with a look at who got further": (
        lease.Lease, "_claim", "self.check()", "pass", cases.test_a_number_is_never_given_again, TWICE,
    ),
    "... and leaves a mark": (
        lease.Lease, "_claim", "self._store.create(mark, self._content())", "True",
        cases.test_a_number_is_never_given_again, TWICE,
    ),
    "who publishes looks who has taken over": (
        versions, "publish", "store.fence()", "store.lease.number",
        cases.test_a_run_that_was_taken_over_commits_nothing_on_top_of_its_successor, OVER,
    ),
    "who deletes looks who has taken over": (
        announcements, "while_held", "store.fence()", "pass",
        cases.test_a_collector_that_was_taken_over_deletes_no_more, OVER,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", WEAKENED)
def test_without_a_rule_one_of_the_cases_ends_badly(rule, monkeypatch):
    owner, name, text, weaker, case, problem = WEAKENED[rule]
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert text in source, f"{name} has changed; write what the rule {rule!r} stands on now"
    scope = {}
    exec(source.replace(text, weaker), function.__globals__, scope)
    monkeypatch.setattr(owner, name, scope[name])
    with pytest.raises(AssertionError, match=problem):
        case(Bucket(monkeypatch))
