# SPDX-License-Identifier: GPL-2.0
"""guestmemctl resume and report"""

import fcntl
import json
import os
import time
import xml.etree.ElementTree as xml

from host import UUID, contains, equal


def saved(h, names=('one', 'two'), **config):
    h.pool(0, '/mnt/node0')
    for name in names:
        h.guest(name, **config)
    h.ctl('save')
    h.reboot()


def test_after_the_boot_all_guests_go_on(h):
    # Red if a step is left out (the capabilities, the state, cont), or what was saved stays.
    saved(h)
    out = h.ctl('resume').out
    contains(out, '2 of 2 guests go on', 'it stood still for')
    for name in ('one', 'two'):
        commands = h.commands(name)
        start = commands.index('started -S -incoming defer')
        equal([c for c in commands[start:] if not c.startswith('query')],
              ['started -S -incoming defer', 'qmp_capabilities',
               'migrate-set-parameters', '{"mode": "cpr-reboot"}', 'migrate-set-capabilities',
               '{"capabilities": [{"capability": "x-ignore-shared", "state": true}]}',
               'migrate-incoming', 'done', 'cont',
               # Red if a later migration to another host would not copy the RAM.
               'migrate-set-parameters', '{"mode": "normal"}', 'migrate-set-capabilities',
               '{"capabilities": [{"capability": "x-ignore-shared", "state": false}]}'])
        assert not h.exists('/var/lib/guestmemfs/saved/%s.json' % name)
        assert not h.exists('/var/lib/guestmemfs/state/' + name)
        assert not h.exists('/run/guestmemfs/%s.env' % name)
    # There is nothing left to do.
    equal(h.ctl('resume').out, '')


def test_a_vmm_that_starts_slowly_is_waited_for(h):
    # Red if a VMM that listens already has less time to greet than the guest's time limit: QEMU on
    # a busy host takes a second from the one to the other.
    saved(h, names=('vm',), greet_after=1)
    contains(h.ctl('resume').out, '1 of 1 guests go on')


def test_a_guest_that_was_paused_stays_paused(h):
    # Red if it runs.
    saved(h, status='paused')
    contains(h.ctl('resume').out, 'is there again, paused as it was')
    assert 'cont' not in h.commands('one')


def test_what_was_saved_is_gone_before_the_guest_goes_on(h):
    # Red if a state is still there when the memory changes: after another kexec, without a save
    # before it, the guest would be restored with memory that does not belong to the state.
    dirs = '/var/lib/guestmemfs/'
    saved(h, names=('vm',), gone=[h.path(dirs + 'saved/vm.json'), h.path(dirs + 'state/vm')])
    h.ctl('resume')
    # Likewise if the guest goes on because the update was called off.
    h.guest('other', fail={'migration': 'full'}, start=True)
    h.ctl('save', status=1)
    assert 'cont' in h.commands('vm')[h.commands('vm').index('migrate', 9):]


def test_guests_are_restored_at_the_same_time(h):
    # Red if one guest waits for another.
    saved(h, names='abcd', meet=[h.path('/run'), 4])
    contains(h.ctl('resume').out, '4 of 4 guests go on')


def test_one_guest_that_fails_does_not_hold_up_the_others(h):
    # Red if the others do not go on, or what the guest needs for a second try is removed.
    saved(h)
    os.rename(h.path('/qemu/two.json'), h.path('/qemu/away'))
    out = h.ctl('resume', status=1).out
    contains(out, 'one: goes on', 'two: does not go on: "exec ', 'failed with status 1: ', 'No such file or directory',
             '1 of 2 guests go on')
    os.rename(h.path('/qemu/away'), h.path('/qemu/two.json'))
    contains(h.ctl('resume').out, '1 of 1 guests go on')
    assert 'cont' in h.commands('two')


def test_a_state_that_cannot_be_read_is_reported(h):
    # Red if QEMU's error is lost, or the guest is made to run.
    saved(h, names=('vm',))
    h.write('/var/lib/guestmemfs/state/vm', 'damaged\n')
    contains(h.ctl('resume', status=1).out, 'vm: does not go on: QEMU says: failed: bad state')
    assert 'cont' not in h.commands('vm')
    assert h.exists('/var/lib/guestmemfs/state/vm')
    contains(h.ctl('report', status=1).out, 'vm: saved, and has not gone on yet')


def test_a_guest_waits_for_its_pool(h):
    # Red if the VMM is started before the pool is mounted: it would make a file elsewhere.
    saved(h, names=('vm',))
    mounts = h.read('/proc/self/mountinfo')
    h.write('/proc/self/mountinfo', '22 1 8:1 / / rw - ext4 /dev/vda1 rw\n')
    p = h.start_ctl('resume')
    h.wait(lambda: h.exists('/run/guestmemfs/lock'), 'resume')
    assert p.poll() is None
    assert 'started -S -incoming defer' not in h.commands('vm')
    h.write('/proc/self/mountinfo.new', mounts)
    os.rename(h.path('/proc/self/mountinfo.new'), h.path('/proc/self/mountinfo'))
    out, _ = p.communicate(timeout=30)
    equal(p.returncode, 0)
    assert 'cont' in h.commands('vm')
    contains(out, 'vm: goes on')


def test_a_pool_that_does_not_come_is_named(h):
    # Red if a pool that is refused, or is not mounted in time, is not the reason that is given.
    saved(h, names=('vm',), conf='timeout = 1\n')
    mounts = h.read('/proc/self/mountinfo')
    h.write('/proc/self/mountinfo', '22 1 8:1 / / rw - ext4 /dev/vda1 rw\n')
    contains(h.ctl('resume', status=1).out, 'the pool with /mnt/node0/vm is not mounted')
    h.write('/proc/self/mountinfo', mounts)
    h.write('/sys/fs/guestmemfs/node0/refused', 'its metadata has a memory error\n')
    contains(h.ctl('resume', status=1).out,
             'the pool node0 is refused: its metadata has a memory error')
    h.write('/sys/fs/guestmemfs/node0/refused', 'no\n')
    record = h.read('/var/lib/guestmemfs/saved/vm.json')
    h.write('/var/lib/guestmemfs/saved/vm.json',
            record.replace('"timeout": 1,', '"timeout": 60,'))
    h.ctl('resume')


def test_a_guest_whose_memory_is_lost_is_not_resumed(h):
    # Red if the devices of a guest meet memory that is not its own: after a loss of power the pool
    # is a new one.
    saved(h, names=('vm',), conf='timeout = 1\n')
    h.write('/sys/fs/guestmemfs/node0/uuid', 'a-new-one\n')
    contains(h.ctl('resume', status=1).out, 'its memory is lost: there is no pool ' + UUID % 0)
    equal(h.commands('vm')[-1], 'ended')
    h.write('/sys/fs/guestmemfs/node0/uuid', UUID % 0)
    # The same file, and a size that it did not have.
    os.truncate(h.path('/mnt/node0/vm'), 4096)
    contains(h.ctl('resume', status=1).out, 'is another file than the one it was saved with')
    # Another file of that name and size.
    with open(h.path('/mnt/node0/other'), 'w', encoding='utf-8') as f:
        f.truncate(512 << 20)
    os.rename(h.path('/mnt/node0/other'), h.path('/mnt/node0/vm'))
    contains(h.ctl('resume', status=1).out, 'is another file than the one it was saved with')
    os.unlink(h.path('/mnt/node0/vm'))
    contains(h.ctl('resume', status=1).out, '/mnt/node0/vm: No such file')


def test_a_file_that_is_larger_than_the_memory_is_recognised(h):
    # Red if the size of the guest's memory is compared with that of the file: the guest could be
    # saved, and would never go on.
    h.pool(0, '/mnt/node0')
    h.guest('vm')
    os.truncate(h.path('/mnt/node0/vm'), 1 << 30)
    h.ctl('save')
    h.reboot()
    contains(h.ctl('resume').out, '1 of 1 guests go on')


def test_prepare_tells_the_units_of_saved_guests(h):
    # Red if a unit starts its guest anew beside the state that waits for it, or if a guest whose
    # memory is lost waits for ever for its state.
    saved(h)
    h.ctl('resume', '--prepare')
    equal(h.read('/run/guestmemfs/one.env'), 'GUESTMEMFS_INCOMING=-S -incoming defer\n')
    assert 'started -S -incoming defer' not in h.commands('one')
    os.unlink(h.path('/run/guestmemfs/one.env'))
    h.write('/sys/fs/guestmemfs/node0/uuid', 'a-new-one\n')
    contains(h.ctl('resume', '--prepare').err, 'one: its memory is lost')
    assert not h.exists('/run/guestmemfs/one.env')
    assert not h.exists('/var/lib/guestmemfs/saved/one.json')
    contains(h.ctl('report', status=1).out, 'one: its memory was lost')
    equal(h.ctl('resume').out, '')
    # Red if that is reported for ever.
    h.start('one')
    h.ctl('save', 'one')
    h.ctl('resume')
    h.ctl('report')


def test_a_vmm_that_its_unit_has_started_is_used(h):
    # Red if a second VMM is started on the same memory.
    saved(h, names=('vm',))
    h.start('vm', '-S', '-incoming', 'defer')
    h.ctl('resume')
    equal(h.commands('vm').count('started -S -incoming defer'), 1)
    assert 'cont' in h.commands('vm')


def test_a_vmm_that_was_started_anew_is_left_alone(h):
    # Red if the state is loaded into a guest that runs.
    saved(h, names=('vm',))
    h.start('vm')
    contains(h.ctl('resume', status=1).out,
             'its VMM does not wait for a state, but is "running": start it with')
    assert 'migrate-incoming' not in h.commands('vm')


def test_resume_takes_names_and_forgets(h):
    # Red if a guest that is not named goes on, or a forgotten one is resumed later.
    saved(h)
    h.ctl('resume', 'two')
    assert 'started -S -incoming defer' not in h.commands('one')
    contains(h.ctl('resume', 'three', status=2).err, 'there is no guest three')
    # Red if two VMMs are started on the same memory.
    contains(h.ctl('resume', 'one', 'one', status=2).err, 'the guest one is named twice')
    assert 'started -S -incoming defer' not in h.commands('one')
    h.ctl('resume', '--forget', 'one')
    equal(h.ctl('resume').out, '')
    assert not h.exists('/var/lib/guestmemfs/state/one')


def test_a_damaged_record_does_not_hold_up_the_others(h):
    # Red if no guest goes on because of one record, or a copy of a record is a second guest with the
    # same memory.
    saved(h)
    h.write('/var/lib/guestmemfs/saved/bad.json', '{"name": 1}')
    r = h.ctl('resume', status=2)
    contains(r.err, 'bad.json is no record of a guest')
    contains(r.out, '2 of 2 guests go on')
    h.ctl('report')
    os.unlink(h.path('/var/lib/guestmemfs/saved/bad.json'))
    h.ctl('save', 'one')
    h.write('/var/lib/guestmemfs/saved/copy.json', h.read('/var/lib/guestmemfs/saved/one.json'))
    r = h.ctl('resume', status=2)
    contains(r.err, 'copy.json is no record of a guest')
    contains(r.out, '1 of 1 guests go on')


def test_a_guest_whose_record_stays_does_not_run(h):
    # Red if a guest runs while its record cannot be removed: after the next boot its old state would
    # meet memory that has changed.
    saved(h, names=('vm',))
    h.start('vm', '-S', '-incoming', 'defer')
    h.write('/read-only', '')
    out = h.ctl('resume', status=1, preload='fake-ioctl.so').out
    contains(out, 'vm: does not go on: cannot remove ')
    assert 'cont' not in h.commands('vm')


def test_a_guest_that_is_restored_and_does_not_run_is_not_restored_again(h):
    # Red if the reason is lost, or nobody is told that there is nothing to try again.
    saved(h, names=('vm',), fail={'cont': 'Failed to get "write" lock'})
    contains(h.ctl('resume', status=1).out, 'it is restored, and paused: QEMU says: Failed to get',
             '"cont" in its monitor lets it go on')
    equal(h.ctl('resume').out, '')


def test_resume_waits_for_its_turn(h):
    # Red if a dry run, at that moment, leaves all guests of a boot down.
    saved(h, names=('vm',))
    with open(h.path('/run/guestmemfs/lock'), 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        p = h.start_ctl('resume')
        time.sleep(0.5)
        equal(p.poll(), None)
    out, _ = p.communicate(timeout=30)
    equal(p.returncode, 0)
    contains(out, '1 of 1 guests go on')


def test_links_in_the_directory_of_logs_are_not_followed(h):
    # Red if a user of a VMM, to whom an administrator has given the directory, has another file
    # overwritten.
    saved(h, names=('vm',))
    h.write('/precious', 'x')
    for name in ('vm.log', 'vm.env.new'):
        os.symlink(h.path('/precious'), h.path('/run/guestmemfs/' + name))
    h.ctl('resume')
    equal(h.read('/precious'), 'x')


def test_a_refused_pool_may_be_the_one(h):
    # Red if the state of a guest is removed because the kernel cannot read the identity of its pool.
    saved(h, names=('vm',), conf='timeout = 5\n')
    h.write('/sys/fs/guestmemfs/node0/uuid', '00000000-0000-0000-0000-000000000000\n')
    h.write('/sys/fs/guestmemfs/node0/refused', 'its superblock is damaged\n')
    h.ctl('resume', '--prepare')
    assert h.exists('/var/lib/guestmemfs/state/vm')
    contains(h.ctl('resume', status=1).out, 'but one that is refused')
    h.write('/sys/fs/guestmemfs/node0/uuid', UUID % 0)
    h.write('/sys/fs/guestmemfs/node0/refused', 'no\n')
    h.ctl('resume')


def record(h, name, **at):
    h.write('/var/lib/guestmemfs/saved/%s.done' % name, json.dumps(dict(
        name=name, qmp='/q', state='/s', start='x', timeout=60, boot='b', running=True, memory=[],
        at=dict(dict(stop=1000, saved=1100, kexec=1300, boot=1700, ready=2500, vmm=2900, runs=3000),
                **at))))


def test_the_report_adds_up(h):
    # Red if a phase is counted twice, or one that there was not is counted.
    record(h, 'one')
    record(h, 'two', stop=500)
    # A guest that went on here: no kexec, and no boot.
    record(h, 'three', kexec=0, boot=0)
    # The clock went back at the boot.
    record(h, 'four', boot=1200)
    out = h.ctl('report').out.splitlines()
    equal(out[0].split(), ['GUEST', 'STANDSTILL', 'save', 'wait', 'down', 'boot', 'VMM', 'restore'])
    rows = {l.split()[0]: l.split()[1:] for l in out[1:]}
    equal(rows['one'], ['2000', 'ms', '100', '200', '400', '800', '400', '100'])
    equal(rows['two'], ['2500', 'ms', '600', '200', '400', '800', '400', '100'])
    equal(rows['three'], ['2000', 'ms', '100', '0', '0', '1400', '400', '100'])
    equal(rows['four'][:6], ['2000', 'ms', '100', '200', '0', '1300'])
    j = h.json('report', '--json')
    for guest in j['guests']:
        if guest['name'] != 'four':
            equal(guest['standstill'], sum(v for k, v in guest.items()
                                           if k not in ('name', 'standstill')))


def test_the_report_is_of_the_last_update(h):
    # Red if guests of an earlier update are shown, or times are not those of the guest.
    record(h, 'old')
    saved(h, names=('vm',), save_ms=200)
    h.ctl('resume')
    (guest,) = h.json('report', '--json')['guests']
    equal(guest['name'], 'vm')
    assert 200 <= guest['save'] < 5000, guest
    assert 200 <= guest['restore'] < 5000, guest
    # The uptime is half a second, and the boot was after the kexec or the clock says so.
    assert guest['standstill'] >= 400, guest


SVG = '{http://www.w3.org/2000/svg}'


def picture(h):
    """The phases of each bar, from top to bottom, as (x, width, name), and all texts."""
    h.run('report', '--svg', h.path('/out.svg'))
    root = xml.parse(h.path('/out.svg')).getroot()
    bars = {}
    for rect in root.iter(SVG + 'rect'):
        title = rect.find(SVG + 'title')
        if title is not None:
            bars.setdefault(float(rect.get('y')), []).append(
                (float(rect.get('x')), float(rect.get('width')), title.text))
    return [bars[y] for y in sorted(bars)], list(root.iter(SVG + 'text')), root


def test_the_report_as_svg(h):
    # Red if a bar is not as long as its guest stood still, its phases leave a gap or overlap, or it
    # reaches beyond the picture.
    record(h, 'one')
    record(h, 'two', stop=0)
    # The clock went back at the boot: the phases take longer than the standstill.
    record(h, 'zero', stop=0, boot=200)
    bars, texts, root = picture(h)
    equal(len(bars), 3)
    equal([name for _, _, name in bars[0]], ['save 100 ms', 'wait 200 ms', 'down 400 ms',
                                             'boot 800 ms', 'VMM 400 ms', 'restore 100 ms'])
    lengths = [sum(w for _, w, _ in bar) for bar in bars]
    assert abs(lengths[0] / lengths[1] - 2000 / 3000) < 0.01, lengths
    for bar in bars:
        equal(bar[0][0], bars[0][0][0])
        for (x, width, _), (following, _, _) in zip(bar, bar[1:]):
            assert abs(x + width - following) < 0.2, bar
    assert max(x + w for bar in bars for x, w, _ in bar) < float(root.get('width')) - 60
    said = [t.text for t in texts]
    for what in ('one', 'two', 'zero', '2000 ms', '3000 ms', 'save', 'restore', '0 s', '1 s', '800'):
        assert what in said, (what, said)
    # The smallest phases have no room for their number.
    equal(said.count('400'), 2 + 2 + 1)
    equal(h.ctl('report', '--svg', '-').out, h.read('/out.svg'))


def test_the_report_as_svg_names_all_guests(h):
    # Red if a guest that has not gone on is missing in the picture, a name breaks it, or a picture
    # without any bar divides by zero.
    record(h, '<a&"b>')
    os.rename(h.path('/var/lib/guestmemfs/saved/<a&"b>.done'),
              h.path('/var/lib/guestmemfs/saved/<a&"b>.json'))
    bars, texts, _ = picture(h)
    equal(bars, [])
    said = [t.text for t in texts]
    assert '<a&"b>' in said and 'saved, and has not gone on yet' in said, said
    record(h, 'x' * 60)
    bars, texts, root = picture(h)
    equal(len(bars), 1)
    assert sum(w for _, w, _ in bars[0]) > 300, bars
    h.ctl('report', '--svg', '/dev/full', status=2)


def test_a_report_of_nothing(h):
    # Red if a host without any update has an empty report and success.
    contains(h.ctl('report', status=2).err, 'no guest was saved yet')
