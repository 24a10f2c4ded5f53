# SPDX-License-Identifier: GPL-2.0
"""guestmemctl live-update and save"""

import json
import os
import signal
import socket
import threading

from host import contains, equal


def update(h, *arguments, status=0):
    return h.ctl('live-update', *arguments, status=status)


def two_guests(h, **second):
    h.pool(0, '/mnt/node0')
    h.guest('one')
    h.guest('two', **second)


def goes_on(h, name):
    """The guest was not stopped, or was made to go on, and its VMM has not ended."""
    commands = h.commands(name)
    assert 'ended' not in commands, commands
    if 'migrate' in commands:
        tail = commands[commands.index('migrate'):]
        assert 'cont' in tail, commands
        # Red if a later migration to another host would not copy the RAM.
        contains(' '.join(tail), '"normal"', '"state": false')
    assert not h.exists('/var/lib/guestmemfs/saved/%s.json' % name)
    assert not h.exists('/var/lib/guestmemfs/state/%s' % name)
    assert not h.exists('/run/guestmemfs/%s.env' % name)


def untouched(h, name):
    assert 'migrate' not in h.commands(name), h.commands(name)
    goes_on(h, name)


def test_update_saves_all_guests_and_starts_the_kernel(h):
    # Red if a step is left out, or the order is another one: load, save, quit, kexec.
    two_guests(h)
    h.write('/run/systemd/system/x', '')
    out = update(h).out
    equal(h.log(), [
        'kexec -s -l %s --command-line=root=/dev/vda1 guestmemfs=0:90%% kho=on --initrd=%s' % (
            h.path('/boot/vmlinuz-9'), h.path('/boot/initrd.img-9')),
        'systemctl kexec'])
    for name in ('one', 'two'):
        commands = h.commands(name)
        equal(commands[-3:], ['query-migrate', 'quit', 'ended'])
        assert 'cont' not in commands
        equal(h.read('/var/lib/guestmemfs/state/' + name), 'devices\n')
        record = json.loads(h.read('/var/lib/guestmemfs/saved/%s.json' % name))
        equal((record['running'], record['boot'], record['memory'][0]['path']),
              (True, 'boot-1', '/mnt/node0/' + name))
        equal(record['memory'][0]['inode'], os.stat(h.path('/mnt/node0/' + name)).st_ino)
        assert record['at']['stop'] <= record['at']['saved'], record
        contains(out, name + ': saved in ')
    contains(out, '2 guests are saved; kexec')
    assert int(h.read('/var/lib/guestmemfs/kexec')) >= record['at']['saved']


def next_kernel(h):
    return h.json('live-update', '--dry-run', '--json')['kernel']


def kernels(h, *versions, link=None):
    """Kernels of these versions; those with a minus in front have no guestmemfs."""
    h.pool(0, '/mnt/node0')
    os.makedirs(h.path('/etc/guestmemfs/guests.d'))
    os.unlink(h.path('/boot/vmlinuz-9'))
    os.unlink(h.path('/vmlinuz'))
    for version in versions:
        name = '/boot/vmlinuz-' + version.lstrip('-')
        h.kernel(name, 'kho-v4 format 1 features 0xf')
        if version[0] == '-':
            h.write(name, '\x7fELF ... a kernel\n')
        h.write('/boot/initrd.img-' + version.lstrip('-'), '')
    if link:
        os.symlink('boot/vmlinuz-' + link, h.path('/vmlinuz'))


def test_without_a_link_the_newest_kernel_is_taken(h):
    # Red if the order is that of letters, or an initrd or the configuration is taken for a kernel.
    kernels(h, '8.9-guestmemfs', '8.10-guestmemfs', '8.2-guestmemfs')
    h.write('/boot/config-9', '')
    equal(next_kernel(h), '/boot/vmlinuz-8.10-guestmemfs')


def test_a_link_that_names_a_kernel_of_the_distribution_is_not_followed(h):
    # Red if an update of a host with Debian's own kernel beside ours needs --kernel.
    kernels(h, '-9.1-amd64', '8.1-guestmemfs', link='9.1-amd64')
    equal(next_kernel(h), '/boot/vmlinuz-8.1-guestmemfs')


def test_a_link_that_names_a_kernel_that_takes_over_is_followed(h):
    # Red if the choice of the administrator does not count.
    kernels(h, '8.1-guestmemfs', '8.2-guestmemfs', link='8.1-guestmemfs')
    equal(next_kernel(h), '/boot/vmlinuz-8.1-guestmemfs')


def test_an_older_kernel_is_not_chosen(h):
    # Red if an update goes back to an older kernel that nobody has named.
    kernels(h, '7.9-guestmemfs', '-9.1-amd64')
    contains(update(h, status=1).out, 'no kernel in /boot takes the pools over')
    os.symlink('boot/vmlinuz-9.1-amd64', h.path('/vmlinuz'))
    # The reason is that of the link.
    j = h.json('live-update', '--dry-run', '--json', status=1)
    equal(j['kernel'], '/boot/vmlinuz-9.1-amd64')
    assert j['kernel_reason'], j


def test_update_without_systemd_uses_kexec(h):
    # Red if a host without systemd does not boot.
    two_guests(h)
    update(h)
    equal(h.log()[-1], 'kexec -e')


def test_guests_are_saved_at_the_same_time(h):
    # Red if a guest is stopped only when the one before it is saved, or if a VMM ends before all
    # guests are saved.
    h.pool(0, '/mnt/node0')
    for name in 'abcd':
        h.guest(name, meet=[h.path('/run'), 4])
    update(h)
    done = [ms for n in 'abcd' for ms, text in h.qmp_log(n) if text == 'done']
    ends = [ms for n in 'abcd' for ms, text in h.qmp_log(n) if text == 'quit']
    equal((len(done), len(ends)), (4, 4))
    assert max(done) <= min(ends), (done, ends)


def failure(h, reason, **second):
    two_guests(h, conf='timeout = 4\n', **second)
    r = update(h, status=1)
    contains(r.out, 'called off: ', reason)
    assert 'systemctl kexec' not in h.log() and 'kexec -e' not in h.log(), h.log()
    # The kernel that was loaded is not left behind for the next reboot.
    if h.log():
        equal(h.log()[-1], 'kexec -s -u')
    equal(h.read('/sys/kernel/kexec_loaded'), '0\n')
    return r


def test_a_guest_that_fails_to_be_saved_calls_the_update_off(h):
    # Red if a guest that was saved already does not go on, or its VMM has ended; or if a terminal
    # gets what QEMU says as it is.
    r = failure(h, 'two: QEMU says: failed: no  space left',
                fail={'migration': 'no\n\x1bspace left'},
                save_ms=300)
    goes_on(h, 'one')
    goes_on(h, 'two')
    contains(r.out, 'one: saved', 'one: goes on here', 'two: goes on here')


def test_a_guest_that_hangs_calls_the_update_off(h):
    # Red if the time limit of a guest does not hold, or others wait for it when they could go on.
    failure(h, 'two: no answer from QEMU in time', hang='migrate')
    goes_on(h, 'one')


def test_a_guest_that_is_slow_is_given_up(h):
    # Red if a migration that is not done in time is not cancelled before the guest goes on.
    failure(h, 'two: QEMU was not done in time', save_ms=9000)
    commands = h.commands('two')
    assert commands.index('migrate_cancel') < commands.index('cont'), commands
    goes_on(h, 'one')
    goes_on(h, 'two')


def test_a_vmm_that_dies_while_saving_calls_the_update_off(h):
    # Red if a VMM that is gone is taken for one whose guest is saved.
    failure(h, 'two: QEMU has ended', die='migrate')
    goes_on(h, 'one')


def test_a_state_that_is_empty_is_no_success(h):
    # Red if the file of the state is not looked at: QEMU may write it elsewhere.
    failure(h, 'two: its state /var/lib/guestmemfs/state/two is empty', state='')
    goes_on(h, 'one')
    goes_on(h, 'two')


def test_what_can_be_known_before_stops_no_guest(h):
    # Red if a guest that cannot be saved is found only when others have been stopped.
    failure(h, 'two cannot be saved: QEMU says: VFIO device', blocked='VFIO device')
    untouched(h, 'one')
    equal(h.log(), [])


def test_a_guest_whose_memory_is_not_in_a_pool_is_refused(h):
    # Red if shared memory outside of the pools is left to the kexec, which loses it.
    h.pool(0, '/mnt/node0')
    h.write('/mnt/other/ram', '')
    h.write('/mnt/node0x', '')
    for backend, reason in (
            ({'type': 'memory-backend-memfd', 'share': True, 'size': 1 << 20},
             'its memory "ram" is shared, in no file'),
            ({'type': 'memory-backend-file', 'share': True, 'size': 1 << 20,
              'mem-path': '/mnt/other/ram'}, 'its memory /mnt/other/ram is in no pool'),
            ({'type': 'memory-backend-file', 'share': True, 'size': 1 << 20,
              'mem-path': '/mnt/node0x'}, 'its memory /mnt/node0x is in no pool')):
        h.guest('vm', memory={'ram': backend})
        contains(update(h, '--dry-run', status=1).out, reason)
        h.end()
        os.unlink(h.path('/run/vm.qmp'))


def test_memory_in_a_file_without_a_name_is_refused(h):
    # Red if a mem-path that is a directory in a pool counts as memory in the pool: QEMU has removed
    # the name of its file there, and the memory goes with the VMM.
    h.pool(0, '/mnt/node0')
    os.makedirs(h.path('/mnt/node0/vms'))
    h.guest('vm', memory={'ram': {'type': 'memory-backend-file', 'share': True, 'size': 1 << 20,
                                  'mem-path': '/mnt/node0/vms'}})
    contains(update(h, '--dry-run', status=1).out, 'a file without a name in /mnt/node0/vms')
    h.ctl('save', status=1)
    assert 'migrate' not in h.commands('vm')


def test_memory_whose_file_was_replaced_is_refused(h):
    # Red if a file that cannot be what QEMU has mapped is recorded as the memory of the guest.
    h.pool(0, '/mnt/node0')
    h.guest('vm')
    os.truncate(h.path('/mnt/node0/vm'), 4096)
    contains(update(h, '--dry-run', status=1).out, 'another file has taken its place')


def test_a_state_in_memory_is_refused(h):
    # Red if the state of the devices is written where the kexec loses it.
    h.pool(0, '/mnt/node0')
    with open(h.path('/proc/self/mountinfo'), 'a', encoding='utf-8') as out:
        out.write('23 22 0:21 / /run rw - tmpfs none rw\n'
                  '24 22 0:22 / /tmp\\040x rw - tmpfs x rw\n'
                  '25 23 8:2 / /run/disk rw - ext4 /dev/vda2 rw\n')
    os.makedirs(h.path('/run/disk'))
    os.makedirs(h.path('/tmp x'))
    os.symlink(h.path('/run'), h.path('/var run'))
    for state, good in (('/run/vm', False), ('/tmp x/vm', False), ('/var run/vm', False),
                        ('/mnt/node0/state', False), ('/run/disk/vm', True)):
        h.guest('vm', conf='state = %s\n' % state)
        out = update(h, '--dry-run', status=0 if good else 1).out
        contains(out, 'vm: can be saved' if good else 'does not survive a kexec')
        h.end()
        os.unlink(h.path('/run/vm.qmp'))
    # The records as well.
    h.guest('vm', conf='state = /run/disk/vm\n')
    with open(h.path('/proc/self/mountinfo'), 'a', encoding='utf-8') as out:
        out.write('26 22 0:23 / /var rw - tmpfs none rw\n')
    os.makedirs(h.path('/var'), exist_ok=True)
    contains(update(h, '--dry-run', status=1).out, '/var/lib/guestmemfs/saved is on tmpfs')


def test_two_descriptions_do_not_share_anything(h):
    # Red if the state of one guest is written over that of another, after one description was
    # copied to make the other.
    two_guests(h)
    two = h.read('/etc/guestmemfs/guests.d/two.conf')
    h.write('/etc/guestmemfs/guests.d/two.conf', two.replace('/run/two.qmp\n', '/run/one.qmp\n'))
    contains(update(h, status=2).err, 'one.conf and two.conf have the same qmp')
    h.write('/etc/guestmemfs/guests.d/two.conf', two + 'state = /var/lib/guestmemfs/state/one\n')
    contains(update(h, status=2).err, 'one.conf and two.conf have the same state')
    untouched(h, 'one')


def test_memory_that_is_not_shared_is_copied(h):
    # Red if a guest with memory that QEMU writes to the disk is refused, or nobody is told.
    h.pool(0, '/mnt/node0')
    h.guest('vm', memory={'ram': {'type': 'memory-backend-ram', 'share': False, 'size': 3 << 20}})
    contains(update(h, '--dry-run').out, '3M of its memory are in no pool')


def test_memory_behind_a_symbolic_link_is_found(h):
    # Red if paths are compared as text: /srv/vms may lead into a pool.
    h.pool(0, '/mnt/node0')
    os.makedirs(h.path('/srv'))
    os.symlink(h.path('/mnt/node0'), h.path('/srv/vms'))
    h.write('/mnt/node0/ram', 4096 * 'x')
    h.guest('vm', memory={'ram': {'type': 'memory-backend-file', 'share': True, 'size': 4096,
                                  'mem-path': '/srv/vms/ram'}})
    contains(update(h, '--dry-run').out, 'vm: can be saved: running, 4K in pools')


def test_a_dry_run_changes_nothing(h):
    # Red if it loads a kernel, stops a guest, or writes a record.
    two_guests(h)
    out = update(h, '--dry-run', '--append', 'quiet').out
    contains(out, 'takes the pools over', 'one: can be saved: running, 512M in pools',
             'command line: root=/dev/vda1 guestmemfs=0:90% kho=on quiet', 'nothing speaks against')
    equal(h.log(), [])
    untouched(h, 'one')
    untouched(h, 'two')
    assert not h.exists('/var/lib/guestmemfs')


def test_a_dry_run_tells_all_that_is_wrong(h):
    # Red if it ends at the first finding.
    two_guests(h, blocked='VFIO device')
    h.kernel('/boot/vmlinuz-9', 'kho-v9 format 1 features 0xf')
    out = update(h, '--dry-run', status=1).out
    contains(out, 'reads KHO data of version kho-v9', 'two: cannot be saved: QEMU says: VFIO device',
             'one: can be saved')


def test_a_dry_run_for_programs(h):
    # Red if a guest that stands in the way is not told from others, or a program has to parse text.
    two_guests(h, blocked='VFIO device')
    h.guest('off', start=False)
    j = h.json('live-update', '--dry-run', '--json', status=1)
    equal((j['possible'], j['kernel'], j['kernel_reason']), (False, '/boot/vmlinuz-9', None))
    equal({g['name']: (g['state'], g['possible'], g['reason']) for g in j['guests']}, {
        'one': ('running', True, None), 'off': ('absent', True, None),
        'two': (None, False, 'QEMU says: VFIO device')})
    j = h.json('live-update', '--dry-run', '--json', '--command-line', 'quiet', status=1)
    contains(j['kernel_reason'], 'lacks kho=on')
    equal(h.log(), [])
    untouched(h, 'one')
    contains(h.ctl('live-update', '--json', status=2).err, 'usage: ')


def test_a_guest_that_does_not_run_is_left_out(h):
    # Red if a guest that was shut down calls the update off.
    h.pool(0, '/mnt/node0')
    h.guest('off', start=False)
    h.guest('on')
    # A socket that is left over from a VMM that was killed.
    h.guest('killed')
    h.processes[-1].kill()
    h.processes[-1].wait()
    out = update(h).out
    contains(out, 'off: does not run', 'killed: does not run', '1 guests are saved')


def test_a_paused_guest_is_saved_as_such(h):
    # Red if a guest that an administrator has paused runs after the update, or after it was
    # called off.
    two_guests(h, status='paused', save_ms=50)
    update(h)
    equal(json.loads(h.read('/var/lib/guestmemfs/saved/two.json'))['running'], False)
    assert 'cont' not in h.commands('two')


def test_a_guest_in_another_state_calls_the_update_off(h):
    # Red if a guest that has crashed, or is being migrated, is stopped.
    failure(h, 'two cannot be saved: its state is "internal-error"', status='internal-error')
    untouched(h, 'one')


def test_a_kexec_that_does_not_begin_lets_the_guests_go_on(h):
    # Red if the guests are lost when systemd or the kernel refuses the kexec after they were saved.
    two_guests(h)
    h.write('/run/systemd/system/x', '')
    h.write('/fail.systemctl.kexec', 'Failed: Access denied\n')
    out = update(h, status=1).out
    contains(out, 'the kexec has not begun: systemctl kexec failed: Failed: Access denied',
             'one: goes on', 'two: goes on')
    for name in ('one', 'two'):
        commands = h.commands(name)
        assert 'cont' in commands[commands.index('started -S -incoming defer'):], commands
        assert not h.exists('/var/lib/guestmemfs/saved/%s.json' % name)
    equal(h.log()[-1], 'kexec -s -u')


def test_a_kernel_that_cannot_be_loaded_calls_the_update_off(h):
    # Red if the reason that kexec gives is lost, or a guest is stopped before.
    two_guests(h)
    h.write('/fail.kexec.-s', 'first line\nkexec_file_load failed: Device or resource busy\n')
    contains(update(h, status=1).out,
             'kexec cannot load /boot/vmlinuz-9: kexec_file_load failed: Device or resource busy')
    untouched(h, 'one')


def test_a_load_that_only_claims_success_is_noticed(h):
    # Red if kexec_loaded is not looked at.
    two_guests(h)
    h.write('/bin/kexec', '#!/bin/sh\nexit 0\n')
    contains(update(h, status=1).out, 'is not loaded')
    untouched(h, 'one')


def test_a_kernel_that_does_not_take_the_pools_over_is_not_loaded(h):
    # Red if the check of the image is skipped, or "cannot be found out" counts as yes.
    two_guests(h)
    h.kernel('/boot/vmlinuz-9', 'kho-v4 format 2 features 0xf')
    contains(update(h, status=1).out, 'called off: ', 'reads pools of format 2')
    h.write('/boot/vmlinuz-9', 'no kernel')
    contains(update(h, status=1).out, 'called off: ', 'is not a kernel')
    h.write('/sys/fs/guestmemfs/handover', 'no: KHO is off\n')
    contains(update(h, status=1).out, 'called off: ', 'does not hand the pools over: no: KHO is off')
    equal(h.log(), [])
    untouched(h, 'one')


def test_a_command_line_that_would_lose_the_guests_is_refused(h):
    # Red if discard, or a missing kho=on, reaches the next kernel.
    two_guests(h)
    for line, reason in (
            ('kho=on guestmemfs=0:90%,discard', 'discards the memory of all guests'),
            ('kho=on guestmemfs=0:90%,1:discard', 'discards the memory of all guests'),
            ('kho=on guestmemfs=0:1G guestmemfs=discard', 'discards the memory of all guests'),
            ('quiet', 'lacks kho=on'),
            ('kho=off', 'with kho=off the next kernel would take nothing over'),
            ('kho=on kho=0', 'with kho=0 the next kernel would take nothing over')):
        contains(update(h, '--command-line', line, status=1).out, 'called off', reason)
    update(h, '--dry-run', '--command-line', 'kho=1 guestmemfs=0:90% name=discard')
    equal(h.log(), [])


def test_the_initrd_belongs_to_the_kernel(h):
    # Red if a kernel is loaded without its initrd, or with that of another one.
    h.pool(0, '/mnt/node0')
    h.kernel('/boot/vmlinuz-8', 'kho-v4 format 1 features 0xf')
    h.write('/etc/guestmemfs/guests.d/x', '')
    contains(update(h, '--kernel', '/boot/vmlinuz-8', status=1).out,
             'there is no /boot/initrd.img-8')
    update(h, '--kernel', '/boot/vmlinuz-8', '--initrd', 'none')
    assert '--initrd' not in h.log()[0], h.log()
    h.kernel('/boot/bzImage', 'kho-v4 format 1 features 0xf')
    contains(update(h, '--kernel', '/boot/bzImage', status=1).out, 'which initrd belongs to')
    update(h, '--kernel', '/boot/bzImage', '--initrd', '/boot/initrd.img-9')
    contains(h.log()[-2], '/boot/bzImage', '--initrd=' + h.path('/boot/initrd.img-9'))
    contains(update(h, '--kernel', '/boot/none', status=1).out, 'cannot read /boot/none')


def test_descriptions_are_checked(h):
    # Red if a mistake in a description is ignored: the guest would be left to the kexec.
    h.pool(0, '/mnt/node0')
    for conf, reason in (
            ('qmp = /run/a\n', 'does not say start'),
            ('start = x\n', 'does not say qmp'),
            ('start = x\n\nqpm = /run/a\n', 'vm.conf, line 3: the key "qpm" is none of'),
            ('start = x\nqmp = run/a\n', 'line 2: qmp has to be an absolute path'),
            ('start = x\nqmp\n', 'line 2: "qmp" is no KEY = VALUE'),
            ('start =\n', 'line 1: start has no value'),
            ('qmp = /run/a\nstart = x\nstate = /a,b\n', 'comma'),
            ('timeout = 1m\n', 'timeout is no number of seconds')):
        h.write('/etc/guestmemfs/guests.d/vm.conf', conf)
        contains(update(h, '--dry-run', status=2).err, reason)
    h.write('/etc/guestmemfs/guests.d/vm.conf', ' # c\n\n qmp=/run/a \n\tstart = a = b\n')
    update(h, '--dry-run')
    h.write('/etc/guestmemfs/guests.d/vm 2.conf', 'qmp = /run/a\nstart = x\n')
    contains(update(h, '--dry-run', status=2).err, 'a name has letters, digits and _.- only')
    contains(update(h, '--guests', '/none', status=2).err, 'cannot read the directory /none')


def test_what_is_no_monitor_is_refused(h):
    # Red if anything that answers is believed, or a wrong line ends the program.
    for n, greeting in enumerate(('SSH-2.0', '{"QMP"', '{}', '[' * 300000, '{"QMP": {}} x')):
        two_guests(h, greeting=greeting)
        contains(update(h, '--dry-run', status=1).out, 'two cannot be saved: what ')
        h.end()
        for name in ('one', 'two'):
            os.unlink(h.path('/run/%s.qmp' % name))
        assert n < 9


def test_a_monitor_that_somebody_else_uses_is_named(h):
    # Red if the update waits for ever, or the reason is only that there was no answer.
    h.pool(0, '/mnt/node0')
    h.guest('vm')
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(h.path('/run/vm.qmp'))
        contains(update(h, '--dry-run', status=1).out, 'another program may be using it')
    contains(update(h, '--dry-run').out, 'vm: can be saved')


def test_ctrl_c_while_saving_lets_all_guests_go_on(h):
    # Red if an interrupted update leaves guests stopped.
    two_guests(h, save_ms=6000)
    p = h.start_ctl('live-update')
    h.wait(lambda: h.exists('/var/lib/guestmemfs/saved/one.json') and
           'migrate' in h.commands('two'), 'one guest')
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=30)
    equal(p.returncode, 1)
    contains(out, 'called off: interrupted')
    goes_on(h, 'one')
    goes_on(h, 'two')


def test_an_update_that_is_killed_leaves_the_guests_running(h):
    # Red if the processes for the guests wait for ever for a command that never comes.
    two_guests(h, save_ms=3000)
    p = h.start_ctl('live-update')
    h.wait(lambda: h.exists('/var/lib/guestmemfs/saved/one.json'), 'one guest')
    p.kill()
    for name in ('one', 'two'):
        h.wait(lambda n=name: '"state": false' in h.commands(n)[-1], name)
    goes_on(h, 'one')
    goes_on(h, 'two')


def test_two_updates_at_once_are_refused(h):
    # Red if there is no lock.
    two_guests(h, save_ms=4000)
    p = h.start_ctl('live-update')
    h.wait(lambda: 'migrate' in h.commands('two'), 'the first')
    contains(h.ctl('live-update', status=2).err, 'another guestmemctl')
    contains(h.ctl('save', status=2).err, 'another guestmemctl')
    # The hook waits for the update that has begun the shutdown.
    h.write('/jobs', '78 kexec.target start waiting\n')
    out = h.ctl('save', '--if-kexec').out
    contains(out, 'one: is saved already', 'two: is saved already', 'no guest runs')
    p.communicate(timeout=30)
    equal(p.returncode, 0)


def test_save_takes_names(h):
    # Red if a guest that is not named is saved.
    two_guests(h)
    h.ctl('save', 'two')
    untouched(h, 'one')
    equal(h.commands('two')[-1], 'ended')
    # Red if its unit, started before "guestmemctl resume", would start the guest anew.
    equal(h.read('/run/guestmemfs/two.env'), 'GUESTMEMFS_INCOMING=-S -incoming defer\n')
    contains(h.ctl('save', 'three', status=2).err, 'there is no guest three')
    contains(h.ctl('save', 'one', 'one', status=2).err, 'the guest one is named twice')
    contains(h.ctl('save', 'two').out, 'two: is saved already')
    equal(h.log(), [])


def test_the_hook_saves_only_on_the_way_to_a_kexec(h):
    # Red if guests are saved at an ordinary shutdown, or not at a kexec.
    two_guests(h)
    h.write('/jobs', '77 reboot.target start waiting\n')
    h.ctl('save', '--if-kexec')
    untouched(h, 'one')
    h.write('/jobs', '78 kexec.target start waiting\n')
    contains(h.ctl('save', '--if-kexec').out, '2 guests are saved')


def test_the_hook_calls_a_kexec_off_if_a_guest_cannot_be_saved(h):
    # Red if the host goes on to the kexec, which would lose the guest.
    two_guests(h, fail={'migrate': 'no'})
    h.write('/jobs', '78 kexec.target start waiting\n')
    h.ctl('save', '--if-kexec', status=1)
    equal(h.log()[-1], 'systemctl cancel')
    goes_on(h, 'one')
    goes_on(h, 'two')


def test_the_hook_calls_a_kexec_off_if_a_description_is_wrong(h):
    # Red if a guest is lost because of a mistake in a description, or guests that the update has
    # saved before stay down when the host stays up.
    two_guests(h)
    h.ctl('save', 'two')
    h.write('/etc/guestmemfs/guests.d/three.conf', 'qpm = /run/three.qmp\n')
    h.write('/jobs', '78 kexec.target start waiting\n')
    contains(h.ctl('save', '--if-kexec', status=1).out, 'called off: ', 'the key "qpm" is none of')
    equal(h.log()[-1], 'systemctl cancel')
    untouched(h, 'one')
    assert 'cont' in h.commands('two')


def test_the_hook_leaves_a_host_without_guests_alone(h):
    # Red if a kexec of a host without guestmemfs, or without guests, is called off.
    h.write('/jobs', '78 kexec.target start waiting\n')
    os.rename(h.path('/sys/fs/guestmemfs'), h.path('/sys/fs/other'))
    os.makedirs(h.path('/etc/guestmemfs/guests.d'))
    contains(h.ctl('save', '--if-kexec').out, 'no guest runs')
    assert 'systemctl cancel' not in h.log()


def test_the_hook_says_that_it_does_not_know(h):
    # Red if no answer from systemd is taken for an ordinary shutdown without a word.
    two_guests(h)
    h.write('/fail.systemctl.list-jobs', 'Failed to connect to bus\n')
    contains(h.ctl('save', '--if-kexec', status=2).err, 'cannot find out', 'Failed to connect to bus')
    untouched(h, 'one')


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as f:
        return [int(word) for word in f.read().split()]


def test_processes_for_guests_that_are_killed_leave_the_guests_running(h):
    # Red if a guest stays stopped because the process that has stopped it was killed: that of the
    # update has to let it go on.
    two_guests(h, save_ms=2000)
    p = h.start_ctl('live-update')
    h.wait(lambda: h.exists('/var/lib/guestmemfs/saved/one.json') and
           'migrate' in h.commands('two'), 'one guest')
    for pid in children(p.pid):
        os.kill(pid, signal.SIGKILL)
    out, _ = p.communicate(timeout=30)
    equal(p.returncode, 1)
    contains(out, 'called off: ', ': the process for it has ended')
    equal(h.log()[-1], 'kexec -s -u')
    goes_on(h, 'one')
    goes_on(h, 'two')


def test_after_all_of_an_update_was_killed_resume_lets_guests_go_on(h):
    # Red if a guest that is saved, and whose VMM has not ended, can only be killed; or if nobody is
    # told what to do with one that was stopped before its record was written.
    two_guests(h, save_ms=1000)
    p = h.start_ctl('live-update')
    h.wait(lambda: h.exists('/var/lib/guestmemfs/saved/one.json') and
           'migrate' in h.commands('two'), 'one guest')
    workers = children(p.pid)
    os.kill(p.pid, signal.SIGSTOP)
    for pid in workers + [p.pid]:
        os.kill(pid, signal.SIGKILL)
    p.communicate(timeout=30)
    h.wait(lambda: 'done' in h.commands('two'), 'the migration')
    out = update(h, status=1).out
    for reason in ('one: cannot be saved: it was stopped by a save that did not end: guestmemctl resume',
                   'two: cannot be saved: it was stopped by a save that did not end: "cont" in its'):
        contains(out, reason)
    contains(h.ctl('resume').out, 'one: goes on', '1 of 1 guests go on')
    goes_on(h, 'one')


def test_an_update_whose_output_nobody_reads_goes_on(h):
    # Red if the loss of a network connection ends the update when the VMMs have ended.
    two_guests(h, save_ms=500)
    p = h.start_ctl('live-update')
    p.stdout.readline()
    p.stdout.close()
    p.wait(timeout=30)
    equal(h.log()[-1], 'kexec -e')


def test_a_record_that_is_left_over_is_gone_while_a_guest_is_saved(h):
    # Red if an old record is found beside a state that is being written when the host goes down.
    two_guests(h, save_ms=1500)
    h.write('/var/lib/guestmemfs/saved/two.json', '{}')
    p = h.start_ctl('live-update')
    h.wait(lambda: 'migrate' in h.commands('two'), 'the migration')
    assert not h.exists('/var/lib/guestmemfs/saved/two.json')
    p.communicate(timeout=30)
    equal(p.returncode, 0)


def test_a_state_that_is_no_file_does_not_hold_up_the_others(h):
    # Red if opening what a hostile VMM has put there waits for ever.
    failure(h, 'two: its state /var/lib/guestmemfs/state/two is no file', fifo=True)
    goes_on(h, 'one')
    goes_on(h, 'two')


def test_what_qemu_says_before_does_not_reach_the_terminal_as_it_is(h):
    # Red if a VMM can move the cursor of the administrator, by characters of one byte or of two.
    h.pool(0, '/mnt/node0')
    h.guest('vm', blocked='\x1b[2J\x9b2J\nnode0: fine')
    out = update(h, '--dry-run', status=1).out
    contains(out, 'vm: cannot be saved: QEMU says:  [2J  2J node0: fine\n')
    j = h.json('live-update', '--dry-run', '--json', status=1)
    equal(j['guests'][0]['reason'], 'QEMU says: \x1b[2J\x9b2J\nnode0: fine')


def test_an_error_of_qemu_has_an_end(h):
    # Red if a VMM can fill the log, or what is cut off in the middle of a character is no JSON.
    h.pool(0, '/mnt/node0')
    h.guest('vm', blocked='\u00e4' + 'x' + '\u00e4' * 100000)
    j = h.json('live-update', '--dry-run', '--json', status=1)
    equal(len(j['guests'][0]['reason'].encode()) < 1100, True)


def test_a_monitor_that_is_a_link_is_refused(h):
    # Red if the user of a VMM, who has a directory for its socket, can have the guest of somebody
    # else saved as its own, or if what is no socket is a guest that does not run.
    two_guests(h)
    os.unlink(h.path('/run/two.qmp'))
    os.symlink(h.path('/run/one.qmp'), h.path('/run/two.qmp'))
    contains(update(h, status=1).out, 'two cannot be saved: /run/two.qmp is no socket, but a link')
    os.unlink(h.path('/run/two.qmp'))
    h.write('/run/two.qmp', '')
    contains(update(h, status=1).out, 'two cannot be saved: /run/two.qmp is no socket\n')
    untouched(h, 'one')


def test_a_monitor_with_a_queue_that_is_full_is_given_up(h):
    # Red if connect() waits for ever for a VMM that accepts nothing.
    two_guests(h)
    os.unlink(h.path('/run/two.qmp'))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(h.path('/run/two.qmp'))
        deaf.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(h.path('/run/two.qmp'))
            contains(update(h, status=1).out, 'two cannot be saved: QEMU\'s monitor says nothing')
    untouched(h, 'one')


def answer_without_reading(path):
    """A VMM that says what guestmemctl wants to hear, and reads nothing."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    said = b'{"return":{"status":"running"}}\n'

    def serve():
        while True:
            try:
                connection = listener.accept()[0]
                connection.sendall(b'{"QMP":{}}\n')
                while True:
                    connection.sendall(said)
            except ConnectionError:
                pass
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    return listener


def test_a_vmm_that_reads_nothing_does_not_hold_up_the_others(h):
    # Red if send() waits for ever when the buffer of the socket is full: all guests stand still.
    two_guests(h)
    os.unlink(h.path('/run/two.qmp'))
    conf = h.read('/etc/guestmemfs/guests.d/two.conf')
    h.write('/etc/guestmemfs/guests.d/two.conf', conf + 'timeout = 8\n')
    listener = answer_without_reading(h.path('/run/two.qmp'))
    contains(update(h, status=1).out, 'called off: two: QEMU ')
    listener.close()
    goes_on(h, 'one')


def test_many_strings_in_an_answer_take_no_time(h):
    # Red if each string is looked at to the end of the answer.
    two_guests(h, greeting='[' + '"",' * 240000 + '""]')
    h.seconds = 8
    contains(update(h, '--dry-run', status=1).out, 'two cannot be saved: what answers is no QMP')


def test_names_outside_of_ascii(h):
    # Red if a path of memory with a character of two escapes is not found, or a record does not have
    # the bytes of its description.
    h.pool(0, '/mnt/node0')
    name = '/mnt/node0/\U0001f427 \u00e4'
    h.write(name, 'x' * 4096)
    h.guest('vm', memory={'ram': {'type': 'memory-backend-file', 'share': True, 'size': 4096,
                                  'mem-path': name}})
    conf = h.path('/etc/guestmemfs/guests.d/vm.conf')
    with open(conf, 'rb') as f:
        text = f.read()
    with open(conf, 'wb') as f:
        f.write(text.replace(b'INCOMING', b'INCOMING # \xff'))
    h.ctl('save')
    with open(h.path('/var/lib/guestmemfs/saved/vm.json'), 'rb') as f:
        record = f.read()
    assert b'INCOMING # \xff"' in record and name.encode() in record, record
    h.reboot()
    contains(h.ctl('resume').out, '1 of 1 guests go on')
