# SPDX-License-Identifier: GPL-2.0
"""Guests of libvirt"""

import json
import os

from host import contains, equal

XML = '/var/lib/guestmemfs/state/two.xml'


def two_guests(h, **second):
    """One guest with a unit, and one of libvirt."""
    h.pool(0, '/mnt/node0')
    h.guest('one')
    h.domain('two', **second)


def test_a_guest_of_libvirt_is_saved_and_goes_on(h):
    # Red if libvirt is not asked to end QEMU and to start it so that it waits for the state, or if
    # anything is left over after the guest goes on.
    two_guests(h)
    h.ctl('live-update')
    commands = h.commands('two')
    equal([c for c in commands if c in ('migrate', 'quit', 'ended')], ['migrate', 'quit', 'ended'])
    assert h.log().index('virsh dumpxml two') < h.log().index('virsh destroy two') < \
        h.log().index('kexec -e')
    contains(h.read(XML), "<qemu:arg value='-incoming'/>", "<qemu:arg value='defer'/>\n",
             "memory-backend=gm", '</domain>')
    # Red if others can read the passwords in it.
    equal(os.stat(h.path(XML)).st_mode & 0o777, 0o600)
    record = json.loads(h.read('/var/lib/guestmemfs/saved/two.json'))
    equal(record['qmp'], 'libvirt:two')
    h.reboot()
    contains(h.ctl('resume').out, 'two: goes on', '2 of 2 guests go on')
    # Each command is a connection of the fake to its QEMU.
    commands = [c for c in h.commands('two') if c != 'qmp_capabilities']
    assert any(c.startswith('started ') and c.endswith('-incoming defer -S') for c in commands)
    equal((commands[-5], commands[-4]), ('cont', 'migrate-set-parameters'))
    contains(commands[-3], '"normal"')
    for path in (XML, '/var/lib/guestmemfs/state/two', '/var/lib/guestmemfs/saved/two.json'):
        assert not h.exists(path), path
    contains(h.ctl('report').out, 'two')


def test_a_guest_of_libvirt_goes_through_two_updates(h):
    # Red if the second description has "-incoming" twice, which QEMU refuses.
    two_guests(h)
    for _ in range(2):
        h.ctl('live-update')
        equal(h.read(XML).count("value='-incoming'"), 1)
        h.reboot()
        h.ctl('resume')
        pid = next(p for p in os.listdir('/proc') if p.isdigit() and
                   h.path('/run/two.qmp') in open('/proc/%s/cmdline' % p).read())
        h.write('/run/libvirt/qemu/two.pid', pid)
        os.makedirs(h.path('/proc/' + pid), exist_ok=True)


def test_a_guest_of_libvirt_goes_on_if_another_one_fails(h):
    # Red if QEMU of a domain is ended before all guests are saved, or a state is left over.
    h.pool(0, '/mnt/node0')
    h.guest('one', save_ms=500, fail={'migration': 'no space'})
    h.domain('two')
    contains(h.ctl('live-update', status=1).out, 'one: QEMU says: failed: no space',
             'two: goes on here')
    commands = h.commands('two')
    assert 'ended' not in commands and 'cont' in commands[commands.index('migrate'):], commands
    assert not h.exists(XML) and not h.exists('/var/lib/guestmemfs/state/two')


def test_a_domain_that_does_not_run_is_left_out(h):
    # Red if a domain that is off, or not defined, is taken for one that cannot be saved.
    two_guests(h)
    h.write('/etc/guestmemfs/guests.d/three.conf', 'libvirt = three\n')
    h.ctl('save', 'two')
    contains(h.ctl('live-update', '--dry-run').out, 'one: can be saved', 'three: does not run',
             'two: is saved already')


def refused(h, *reason):
    out = h.ctl('live-update', status=1).out
    contains(out, *reason)
    assert 'migrate' not in h.commands('one') and 'migrate' not in h.commands('two')
    assert not h.exists(XML)


def test_libvirt_that_does_not_answer_calls_the_update_off(h):
    # Red if a guest is taken for one that does not run when libvirt cannot be asked.
    two_guests(h)
    h.write('/fail.virsh.domstate', 'failed to connect to the hypervisor')
    refused(h, 'two cannot be saved: libvirt says: failed to connect to the hypervisor')


def test_a_domain_that_libvirt_starts_at_boot_is_refused(h):
    # Red if libvirt could start the guest anew before its state is read.
    two_guests(h)
    h.write('/autostart.two', '')
    refused(h, 'two cannot be saved: libvirt would start it anew at boot')


def test_a_domain_without_arguments_of_qemu_is_not_stopped(h):
    # Red if it is found only when the guest has been stopped.
    two_guests(h, xml='<domain>\n<name>two</name>\n</domain>\n')
    contains(h.ctl('live-update', status=1).out, 'two: its domain has no qemu:commandline')
    assert 'migrate' not in h.commands('two')


def test_a_domain_whose_qemu_has_an_unknown_owner_is_not_stopped(h):
    # Red if the state is made for root, and QEMU cannot write it.
    two_guests(h)
    os.unlink(h.path('/run/libvirt/qemu/two.pid'))
    contains(h.ctl('live-update', status=1).out, 'two: cannot find out who runs its QEMU')
    assert 'migrate' not in h.commands('two')
    assert not h.exists(XML)


def test_a_domain_that_does_not_start_is_kept(h):
    # Red if the state or the description is removed before the guest goes on, or if the reason is
    # not said.
    two_guests(h)
    h.ctl('live-update')
    h.reboot()
    h.write('/fail.virsh.create', 'no such device')
    contains(h.ctl('resume', status=1).out, 'one: goes on', 'two: does not go on', 'no such device')
    assert h.exists(XML)
    os.unlink(h.path('/fail.virsh.create'))
    contains(h.ctl('resume').out, 'two: goes on')


def test_the_memory_that_libvirt_itself_gives_is_not_counted(h):
    # Red if the backend that libvirt always makes is taken for memory that is copied or lost.
    spare = {'type': 'memory-backend-file', 'share': True, 'size': 512 << 20,
             'mem-path': '/var/lib/libvirt/qemu/ram/1-two/pc.ram'}
    h.pool(0, '/mnt/node0')
    h.write('/mnt/node0/gm', '')
    os.truncate(h.path('/mnt/node0/gm'), 512 << 20)
    memory = {'pc.ram': spare, 'gm': dict(spare, **{'mem-path': '/mnt/node0/gm'})}
    h.domain('two', memory=memory, machine={'memory-backend': '/objects/gm'})
    contains(h.ctl('live-update', '--dry-run').out, 'two: can be saved: running, 512M in pools')


def test_a_shared_memory_of_libvirt_that_is_used_is_refused(h):
    # Red if the backend of libvirt is left out although it is the memory of the guest.
    h.pool(0, '/mnt/node0')
    memory = {'pc.ram': {'type': 'memory-backend-file', 'share': True, 'size': 512 << 20,
                         'mem-path': '/var/lib/libvirt/qemu/ram/1-two/pc.ram'}}
    h.domain('two', memory=memory, machine={'memory-backend': '/objects/pc.ram'})
    contains(h.ctl('live-update', '--dry-run', status=1).out, 'two: cannot be saved: its memory')


def description(h, text, reason):
    h.write('/etc/guestmemfs/guests.d/two.conf', text)
    contains(h.ctl('live-update', status=2).err, reason)


def test_descriptions_of_domains_that_are_wrong(h):
    # Red if a mistake in a description is not found before an update.
    h.pool(0, '/mnt/node0')
    description(h, 'libvirt = two\nstart = x\n', 'libvirt starts the guest')
    description(h, 'libvirt = two\nqmp = /run/x\n', 'either qmp or libvirt')
    description(h, 'qmp = /run/x\nstart = x\nlibvirt = two\n', 'either qmp or libvirt')
    description(h, 'libvirt = --help\n', 'has another name')
    description(h, "libvirt = two\nstate = /x/'y\n", 'a quote')
