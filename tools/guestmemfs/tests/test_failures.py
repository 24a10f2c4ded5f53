# SPDX-License-Identifier: GPL-2.0
"""Failures in the middle of an update, as Documentation/admin-guide/guestmemfs-live-update.rst tells
them, that are not in the tests of the commands"""

import glob
import os
import re
import signal

from host import HERE, Skip, contains, equal

REPO = os.path.abspath(HERE + '/../../..')
GUIDE = REPO + '/Documentation/admin-guide/guestmemfs-live-update.rst'

SAVED = '/var/lib/guestmemfs/saved/'
STATE = '/var/lib/guestmemfs/state/'


def two_guests(h, **second):
    h.pool(0, '/mnt/node0')
    h.guest('one')
    h.guest('two', **second)


def went_on(h, name):
    commands = h.commands(name)
    assert 'cont' in commands[commands.index('migrate'):] and 'ended' not in commands, commands
    assert not h.exists(SAVED + name + '.json') and not h.exists(STATE + name)


def power_lost(h):
    """Nothing is left but what is on disks: the pools are new ones."""
    h.reboot()
    h.write('/sys/fs/guestmemfs/node0/uuid', 'a-new-one\n')
    os.truncate(h.path('/mnt/node0/one'), 0)
    os.truncate(h.path('/mnt/node0/two'), 0)


def boot(h):
    """What the units do at a boot."""
    r = h.ctl('resume', '--prepare')
    return r.err, h.ctl('resume').out


def test_a_disk_without_room_stops_no_guest(h):
    # Red if a guest is stopped, or a kernel is loaded, before anybody asks whether its state has room.
    two_guests(h)
    h.write('/full', '')
    r = h.ctl('live-update', status=1, preload='fake-ioctl.so')
    contains(r.out, 'one cannot be saved: /var/lib/guestmemfs/state has too little room for its '
             'state: 64M are needed')
    equal(h.log(), [])
    for name in ('one', 'two'):
        assert 'migrate' not in h.commands(name)


def test_a_disk_that_is_full_while_saving_calls_the_update_off(h):
    # Red if a state, or a record, that has not reached the disk counts as saved: the guest would be
    # lost with the kexec.
    two_guests(h)
    for lost, reason in (('two', 'two: its state /var/lib/guestmemfs/state/two: No space left'),
                         ('two.json.new', 'two: cannot write ')):
        h.write('/lost.' + lost, '')
        r = h.ctl('live-update', status=1, preload='fake-ioctl.so')
        contains(r.out, 'called off: ' + reason, 'No space left on device', 'one: goes on here',
                 'two: goes on here')
        equal(h.log()[-1], 'kexec -s -u')
        went_on(h, 'one')
        went_on(h, 'two')
        os.unlink(h.path('/lost.' + lost))


def test_a_vmm_that_dies_when_it_is_to_go_on_is_told(h):
    # Red if a guest that has gone down in an update that was called off is said to go on, or if it is
    # asked again and again.
    two_guests(h, fail={'migration': 'no'}, die='migrate_cancel')
    r = h.ctl('live-update', status=1)
    contains(r.out, 'called off: two: QEMU says: failed: no', 'one: goes on here')
    equal(r.err, 'guestmemctl: two: QEMU has ended, or closed its monitor\n')
    assert 'two: goes on here' not in r.out
    assert float(r.out.splitlines()[-1].split()[1]) < 8, r.out
    went_on(h, 'one')


def test_power_is_lost_while_guests_are_saved(h):
    # Red if a guest waits for a state that was not complete, or one of the two kinds of guests (with
    # and without a record) does not start anew.
    two_guests(h, save_ms=5000)
    p = h.start_ctl('live-update')
    h.wait(lambda: h.exists(SAVED + 'one.json') and 'migrate' in h.commands('two'), 'one guest')
    with open('/proc/%d/task/%d/children' % (p.pid, p.pid), encoding='ascii') as f:
        workers = [int(word) for word in f.read().split()]
    # All at once: none of them can let a guest go on.
    for pid in workers + [p.pid]:
        os.kill(pid, signal.SIGSTOP)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    power_lost(h)
    err, out = boot(h)
    contains(err, 'guestmemctl: one: its memory is lost: there is no pool ')
    assert 'two' not in err
    equal(out, '')
    contains(h.ctl('report', status=1).out, 'one: its memory was lost')
    for name in ('one', 'two'):
        # Its unit starts the guest anew.
        assert not h.exists('/run/guestmemfs/%s.env' % name)
        assert not h.exists(SAVED + name + '.json')


def test_power_is_lost_after_all_guests_were_saved(h):
    # Red if a guest meets a new pool with the state of its devices. So it is when a kernel panics
    # before its guests go on, and when the firmware starts a kernel in place of a kexec.
    two_guests(h)
    h.ctl('live-update')
    power_lost(h)
    err, out = boot(h)
    contains(err, 'one: its memory is lost', 'two: its memory is lost')
    equal(out, '')
    for name in ('one', 'two'):
        assert 'started -S -incoming defer' not in h.commands(name)
        assert not h.exists(STATE + name)
    contains(h.ctl('report', status=1).out, 'one: its memory was lost', 'two: its memory was lost')


def test_a_kernel_without_pools_lets_guests_start_anew(h):
    # Red if guests wait for pools that this kernel cannot have.
    two_guests(h)
    h.ctl('live-update')
    h.reboot()
    os.rename(h.path('/sys/fs/guestmemfs'), h.path('/sys/fs/other'))
    err, out = boot(h)
    contains(err, 'one: its memory is lost', 'two: its memory is lost')
    equal(out, '')


def test_power_is_lost_after_a_guest_went_on(h):
    # Red if a guest that has gone on is taken for one that is saved.
    two_guests(h)
    h.ctl('live-update')
    h.reboot()
    contains(h.ctl('resume').out, '2 of 2 guests go on')
    power_lost(h)
    equal(boot(h), ('', ''))


def test_back_from_a_kernel_that_refuses_a_pool(h):
    # Red if a guest whose pool is refused keeps the host under that kernel, or is not there after the
    # way back, or if the one that went on is left out.
    h.pool(0, '/mnt/node0')
    h.pool(1, '/mnt/node1')
    h.kernel('/boot/vmlinuz-8', 'kho-v4 format 1 features 0xf')
    h.guest('one')
    h.guest('two', pools=(1,), conf='timeout = 15\n')
    h.ctl('live-update')
    h.reboot()
    h.write('/sys/fs/guestmemfs/node1/refused', 'its handover cannot be read\n')
    out = h.ctl('resume', status=1).out
    contains(out, 'one: goes on', 'two: does not go on: the pool node1 is refused: its handover')
    contains(h.ctl('live-update', '--kernel', '/boot/vmlinuz-8', '--initrd', 'none').out,
             'note: the pool node1 is refused', 'two: is saved already', '1 guests are saved')
    h.reboot()
    h.write('/sys/fs/guestmemfs/node1/refused', 'no\n')
    contains(h.ctl('resume').out, '2 of 2 guests go on')


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def guide():
    if not os.path.exists(GUIDE):
        raise Skip('the guide is not there')
    return read(GUIDE)


def in_general(text):
    """A message with @ for each conversion, each variable and each word in capitals."""
    text = re.sub(r'%[-#.*0-9]*l*[a-zA-Z]|\$\([^)]*\)|\$\w+|[A-Z_]{3,}', '@', text)
    return re.sub('@+', '@', text)


def sources():
    """All messages that guestmemctl, guestmemfs-check-kernel and the kernel may print."""
    found = set()
    for path in glob.glob(REPO + '/tools/guestmemfs/*.c') + glob.glob(REPO + '/fs/guestmemfs/*.c') + \
            [REPO + '/tools/guestmemfs/guestmemfs-check-kernel']:
        text = read(path)
        if path.endswith('.c'):
            text = re.sub(r'"\s*\n\s*"', '', text)
        else:
            text = re.sub(r'\$\([^)]*\)', '$x', text)
        for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', text):
            found.add(in_general(literal.replace('\\n', '').replace('\\"', '"')))
    return found


def is_message(text, literals, depth=0):
    """Is it a message, with others of them, or a name, in place of its variable parts?"""
    if text == '@' or text in literals:
        return True
    for literal in literals if depth < 6 else ():
        parts = literal.split('@')
        # "@: @" joins two messages. Other literals have to say something.
        if len(parts) == 1 or (literal != '@: @' and not re.search('[a-z]{2}', literal)):
            continue
        m = re.fullmatch('(.+?)'.join(re.escape(p) for p in parts), text)
        if m and all(is_message(g, literals, depth + 1) for g in m.groups()):
            return True
    return False


def test_the_messages_of_the_guide_are_those_of_the_sources(h):
    # Red if a message is another one than an operator finds in the guide.
    literals = sources()
    messages = [l[1:] for l in guide().splitlines() if l.startswith('\t') and not l.startswith('\t#')]
    assert len(messages) > 40, messages
    assert not is_message(in_general('called off: kexec cannot lode IMAGE: REASON'), literals)
    assert not is_message(in_general('guestmemctl: GUEST: its memory is lost'), literals)
    for message in messages:
        said = re.sub('^(guestmemctl|guestmemfs): ', '', message)
        assert is_message(in_general(said), literals), message


def test_the_tests_that_the_guide_names_exist(h):
    # Red if one was renamed.
    table = guide().split('Tests of these failures')[1]
    names = re.findall('``([a-z_-]+)``', table.split('====', 1)[1].split('=\n', 1)[1])
    assert len(names) > 30, names
    functions = ''.join(read(path) for path in glob.glob(HERE + '/test_*.py'))
    for name in names:
        assert 'def test_%s(' % name in functions or os.path.exists(
            REPO + '/tools/testing/selftests/guestmemfs/vm/tests/' + name), name
