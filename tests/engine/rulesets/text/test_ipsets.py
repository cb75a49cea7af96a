"""The text of sets of every type, as ``ipset save`` 7.17 prints it."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.system.process import SystemRunner
from engine.errors import TextRefused
from engine.rulesets.model import Family, IpSet
from engine.rulesets.text import parse_sets, render_create, render_member, render_sets
from tests.support.rulesets.ruleset_builders import NAMES

SAVED = """\
create a bitmap:ip range 10.0.0.0-10.0.0.255 netmask 28 timeout 100 counters comment skbinfo
add a 10.0.0.16 timeout 0 packets 5 bytes 6 comment "hel lo \\x" skbmark 0x5/0xff skbprio 1:2 skbqueue 3
create b bitmap:ip,mac range 10.0.0.0-10.0.0.255 timeout 50
add b 10.0.0.1 timeout 50
add b 10.0.0.2,02:00:00:00:00:AA timeout 50
create c bitmap:port range 0-65535
add c 0
create d hash:ip family inet hashsize 1024 bucketsize 12 initval 0xd5b10a36 maxelem 10 netmask 24 forceadd
add d 10.0.0.0
create e hash:ip family inet6 hashsize 1024 bucketsize 12 initval 0x78c915e2 maxelem 65536 bitmask ffff::
create f hash:mac hashsize 1024 bucketsize 12 initval 0x1 maxelem 65536
add f 02:00:00:00:00:AA
create g hash:ip,mac family inet6 hashsize 1024 bucketsize 12 initval 0x1 maxelem 65536
add g fd00::1,02:00:00:00:00:AA
create h hash:net family inet hashsize 1024 bucketsize 12 initval 0x410a4828 maxelem 65536 comment
add h 0.0.0.0/1
add h 10.0.0.0/8 nomatch comment "näé"
add h 10.0.0.1
create i hash:net,net family inet hashsize 1024 bucketsize 12 initval 0x1 maxelem 65536
add i 10.0.0.0/8,10.1.0.0/16 nomatch
create j hash:ip,port family inet hashsize 1024 bucketsize 12 initval 0x5bd4c929 maxelem 65536
add j 10.0.0.1,253:0
add j 10.0.0.1,gre:0
add j 10.0.0.1,icmp:TOS-host-redirect
add j 10.0.0.1,icmp:echo-request
add j 10.0.0.1,tcp:80
create k hash:net,port family inet6 hashsize 1024 bucketsize 12 initval 0xdfac7f88 maxelem 65536
add k ::1,tcp:80
add k fd00::/16,ipv6-icmp:128/1
create l hash:ip,port,ip family inet hashsize 1024 bucketsize 12 initval 0x1 maxelem 65536
add l 10.0.0.1,tcp:80,10.0.0.2
create m hash:ip,port,net family inet hashsize 1024 bucketsize 12 initval 0xff51b06c maxelem 65536
add m 10.0.0.1,tcp:80,0.0.0.0/1 nomatch
create n hash:net,port,net family inet hashsize 1024 bucketsize 12 initval 0x1 maxelem 65536
add n 0.0.0.0/0,tcp:80,0.0.0.0/0
create o hash:ip,mark family inet hashsize 1024 bucketsize 12 initval 0x1 maxelem 65536 markmask 0x0000ff00
add o 10.0.0.1,0x00001200
create p hash:net,iface family inet hashsize 1024 bucketsize 12 initval 0x9e769639 maxelem 65536 timeout 0 counters
add p 0.0.0.0/0,physdev:eth0 timeout 4 nomatch wildcard packets 0 bytes 0
add p 10.0.0.0/24,eth timeout 0 wildcard packets 0 bytes 0
add p 10.0.0.0/24,br0 timeout 0 packets 0 bytes 0
create q list:set size 8 counters
add q h packets 0 bytes 0
add q a packets 1 bytes 20
"""


@pytest.mark.parametrize("text", [SAVED, *(f"create {rest}" for rest in SAVED.split("create ")[1:])])
def test_what_ipset_saves_is_rendered_as_it_was(text: str) -> None:
    """Sets of every type with every option are read and rendered byte for byte."""
    assert render_sets(parse_sets(text)) == text


def test_lists_are_rendered_behind_what_they_name() -> None:
    """Ipset restore wants the sets of a list to be there, wherever the list stood."""
    text = "create l list:set size 8\nadd l s\ncreate s hash:mac\n"
    assert render_sets(parse_sets(text)) == "create s hash:mac\ncreate l list:set size 8\nadd l s\n"


def test_the_order_of_members_is_kept_where_it_matters() -> None:
    """Members are sorted, but for those of a list, and for the interfaces of one network."""
    text = (
        "create l list:set size 8\nadd l z\nadd l a\n"
        "create n hash:net,iface family inet\nadd n 10.0.0.0/8,z wildcard\nadd n 10.0.0.0/8,a\nadd n 1.0.0.0/8,z\n"
        "create h hash:ip family inet\nadd h 10.0.0.2\nadd h 10.0.0.1\n"
    )
    found = [[member[0] for member in item.members] for item in parse_sets(text)]
    assert found == [["z", "a"], ["1.0.0.0/8,z", "10.0.0.0/8,z", "10.0.0.0/8,a"], ["10.0.0.1", "10.0.0.2"]]


@pytest.mark.kernel
def test_what_ipset_saves_is_read_without_loss(namespace: SystemRunner) -> None:
    """What ipset prints of real sets, comments included, reads and is restored as the same sets."""
    text = (
        "create nwt-a hash:net family inet maxelem 99 comment\n"
        'add nwt-a 10.0.0.0/8 nomatch comment "it\'s a \\ b  c"\n'
        'add nwt-a 10.1.0.0/16 comment "plain"\n'
        "create nwt-b hash:ip,port family inet6 timeout 0 counters\n"
        "add nwt-b fd00::1,tcp:80 timeout 0 packets 3 bytes 4\n"
        "create nwt-c list:set size 8\nadd nwt-c nwt-a\n"
        "create nwt-d bitmap:port range 1-1024\nadd nwt-d 80\n"
        "create nwt-e hash:net,iface family inet\nadd nwt-e 10.0.0.0/8,physdev:eth0\n"
    )
    namespace.run(["ipset", "restore"], text).or_refused("ipset")
    saved = parse_sets(namespace.run(["ipset", "save"]).or_refused("ipset"))
    namespace.run(["ipset", "flush"]).or_refused("ipset")  # a list holds what it names
    namespace.run(["ipset", "destroy"]).or_refused("ipset")
    namespace.run(["ipset", "restore"], render_sets(saved)).or_refused("ipset")
    assert parse_sets(namespace.run(["ipset", "save"]).or_refused("ipset")) == saved
    assert next(item for item in saved if item.name == "nwt-a").members == (
        ("10.0.0.0/8", "nomatch", "comment", "it's a \\ b  c"),
        ("10.1.0.0/16", "comment", "plain"),
    )


@st.composite
def sets(draw: st.DrawFn) -> tuple[IpSet, ...]:
    """Sets with options, hints, and members with flags and comments."""
    comments = st.text(st.characters(exclude_characters=[*map(chr, range(32)), "\x7f", '"']), max_size=8)
    flags = st.one_of(st.just(()), st.just(("nomatch",)), comments.map(lambda text: ("comment", text)))
    member = st.builds(lambda element, more: (element, *more), NAMES, flags)
    option = st.one_of(st.tuples(st.sampled_from(["maxelem", "timeout"]), NAMES), st.just(("comment", "")))
    item = st.builds(
        IpSet,
        NAMES,
        st.sampled_from(["hash:net", "hash:ip,port", "list:set"]),
        st.sampled_from([None, *Family]),
        st.lists(member, max_size=4).map(lambda found: tuple(sorted(found))),
        st.lists(option, max_size=2).map(tuple),
        st.sampled_from([(), (("hashsize", "1024"), ("bucketsize", "12"), ("initval", "0x1"))]),
    )
    return tuple(draw(st.lists(item, max_size=3, unique_by=lambda found: found.name)))


@given(sets())
def test_rendered_sets_read_as_the_same_sets(found: tuple[IpSet, ...]) -> None:
    """What is rendered of sets reads back as those sets, hints included, lists last."""
    back = parse_sets(render_sets(found))
    lists_last = sorted(found, key=lambda item: item.type == "list:set")
    assert list(back) == lists_last
    assert [item.hints for item in back] == [item.hints for item in lists_last]


@given(st.text(max_size=8))
def test_a_spoiled_member_is_never_rendered(text: str) -> None:
    """A member's comment is one quoted word or is not rendered: ipset knows no escapes."""
    assume(re.search('["\x00-\x1f\x7f]', text))
    for words in (("10.0.0.1", "comment", text), (text,)):
        with pytest.raises(ValueError, match=r"control character|double quote|no name"):
            render_member(words)
    with pytest.raises(ValueError, match="no name"):
        render_create(IpSet("s", "hash:net", options=(("maxelem", text),)))


def test_exist_says_nothing_of_a_set() -> None:
    """Text for ``ipset restore`` reads as what is then saved: ``-exist`` is of the command, wherever it stands."""
    written = (
        "create -exist n hash:net family inet comment\nadd n 10.0.0.0/8 comment -exist -exist\n-! add n 10.1.0.0/16\n"
    )
    saved = "create n hash:net family inet comment\nadd n 10.0.0.0/8 comment -exist\nadd n 10.1.0.0/16\n"
    assert parse_sets(written) == parse_sets(saved)


@pytest.mark.parametrize("text", ["add s 10.0.0.1", "create s", "flush", 'create s t\nadd s "a', "create s t\nadd s"])
def test_ipset_text_that_does_not_parse_is_named(text: str) -> None:
    """Text that ipset would not save is refused with its source and line."""
    with pytest.raises(TextRefused) as refused:
        parse_sets(text, "sets.txt")
    assert str(refused.value).startswith(f"sets.txt:{text.count(chr(10)) + 1}: ")
