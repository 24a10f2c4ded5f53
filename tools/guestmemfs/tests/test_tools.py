# SPDX-License-Identifier: GPL-2.0
"""The command line, the pages of the manual, completion, units, and the installation"""

import fnmatch
import os
import re
import shutil
import subprocess

from host import HERE, Skip, contains, equal

TOP = os.path.dirname(HERE)
COMMANDS = ['list', 'map', 'check-kernel', 'live-update', 'save', 'resume', 'report']


def page(name):
    with open('%s/man/%s' % (TOP, name), encoding='utf-8') as f:
        return f.read().replace('\\-', '-')


def options(text):
    return set(re.findall(r'--[a-z][a-z-]*', text)) - {'--help', '--version'}


def complete(h, *words):
    """What bash offers for the last word."""
    script = '. %s/guestmemctl.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _guestmemctl; ' \
             'printf "%%s\\n" "${COMPREPLY[@]}"' % TOP
    r = subprocess.run(['bash', '-c', script, 'bash', 'guestmemctl'] + list(words), check=True,
                       capture_output=True, text=True, env=dict(os.environ, GUESTMEMCTL_ROOT=h.root))
    return set(r.stdout.split())


def test_every_option_is_in_the_manual_and_in_the_completion(h):
    # Red if an option is added, or goes, without its page or its completion.
    for command in COMMANDS:
        shown = options(h.ctl(command, '--help').out)
        equal(options(page('guestmemctl-%s.8' % command)) & shown, shown)
        equal({o for o in complete(h, command, '--')} - {'--help'}, shown)
    equal(complete(h, ''), set(COMMANDS) | {'--help', '--version'} | {'report'})
    equal(set(re.findall(r'^  ([a-z-]+) ', h.ctl('--help').out, re.M)), set(COMMANDS))


def test_completion_offers_pools_and_guests(h):
    # Red if it looks elsewhere than the program does.
    h.pool(0, '/mnt/node0')
    h.pool(1)
    h.guest('vm1', start=False)
    equal(complete(h, 'map', 'n'), {'node0', 'node1'})
    equal(complete(h, 'save', ''), {'vm1'})
    equal(complete(h, 'map', '--color', 'a'), {'always', 'auto'})
    equal(complete(h, 'resume', ''), set())


def test_pages_of_the_manual_have_no_warnings(h):
    # Red if a page has a macro or an escape that groff or mandoc complains about.
    tools = [t for t in (['mandoc', '-T', 'lint'], ['groff', '-ww', '-man', '-Tutf8'])
             if shutil.which(t[0])]
    if not tools:
        raise Skip('there is neither groff nor mandoc')
    for name in sorted(os.listdir(TOP + '/man')):
        for tool in tools:
            r = subprocess.run(tool + ['%s/man/%s' % (TOP, name)], capture_output=True, text=True,
                               check=False)
            equal((name, r.stderr, r.stdout if tool[0] == 'mandoc' else ''), (name, '', ''))
    assert h


def test_wrong_command_lines_are_refused(h):
    # Red if a mistake is taken for something else, or its status is that of an answer.
    h.pool(0, '/mnt/node0')
    contains(h.ctl('lst', status=2).err, 'there is no command lst', 'usage: ')
    h.ctl(status=2)
    for bad in (('list', '--jsn'), ('check-kernel',), ('check-kernel', 'a', 'b'),
                ('check-kernel', '--x', 'a'), ('live-update', 'x'), ('live-update', '--kernel'),
                ('save', '--x'), ('resume', '--prepare', '--forget'), ('report', 'x'),
                ('report', '--svg'), ('report', '--json', '--svg', '-')):
        r = h.ctl(*bad, status=2)
        contains(r.err, 'usage: guestmemctl ' + bad[0])
        equal(r.out, '')
    contains(h.ctl('--version').out, 'guestmemctl ')


def test_check_kernel_answers_for_programs(h):
    # Red if "not known" is given as an answer, or the status differs from that of the script.
    image = h.path('/boot/vmlinuz-9')
    os.symlink(h.path(''), h.path('/root'))
    contains(h.ctl('check-kernel', '/boot/vmlinuz-9').out, 'yes: ', ' takes the pools over')
    equal(h.json('check-kernel', '--json', '/boot/vmlinuz-9'),
          {'image': '/boot/vmlinuz-9', 'takes_over': True, 'reason': None})
    h.kernel('/boot/vmlinuz-9', 'none format 1 features 0xf')
    contains(h.ctl('check-kernel', '/boot/vmlinuz-9', status=1).out, 'no: ', 'has no KHO')
    j = h.json('check-kernel', '--json', '/boot/vmlinuz-9', status=1)
    equal((j['takes_over'], 'has no KHO' in j['reason']), (False, True))
    contains(h.ctl('check-kernel', '/none', status=2).err, 'cannot read')
    equal(h.json('check-kernel', '--json', '/none', status=2)['takes_over'], None)
    assert image


def generate(h, status=0):
    out = h.path('/units')
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)
    r = subprocess.run([TOP + '/systemd/guestmemfs-generator', out, out, out], check=False,
                       capture_output=True, text=True, env=dict(os.environ, GUESTMEMCTL_ROOT=h.root))
    equal(r.returncode, status)
    return {n for n in os.listdir(out) if n.endswith('.mount')}, r.stderr


def test_the_generator_makes_a_mount_for_each_pool(h):
    # Red if a pool is not mounted, one in fstab is mounted twice, or a mount can stop the boot.
    equal(generate(h)[0], set())
    h.pool(0)
    h.pool(12)
    equal(generate(h)[0], {'mnt-node0.mount', 'mnt-node12.mount'})
    unit = h.read('/units/mnt-node12.mount')
    contains(unit, 'What=node12\n', 'Where=/mnt/node12\n', 'Type=guestmemfs\n',
             'Description=guestmemfs pool of node 12\n', 'After=local-fs-pre.target\n',
             'Before=local-fs.target guestmemfs.target\n')
    # Red if the mount point is made while the root is still read-only, or the mount stays when the
    # host goes down.
    assert 'DefaultDependencies' not in unit
    for target in ('guestmemfs', 'local-fs'):
        equal(h.read('/units/%s.target.wants/mnt-node12.mount' % target), unit)
    assert not h.exists('/units/local-fs.target.requires')
    h.write('/etc/fstab', '# node12 /x guestmemfs\nnode0 /srv/pool guestmemfs defaults 0 0\n')
    equal(generate(h)[0], {'mnt-node12.mount'})
    h.write('/etc/fstab', 'none /srv/pool guestmemfs rw,node=12 0 0\n')
    equal(generate(h)[0], {'mnt-node0.mount'})
    h.write('/etc/fstab', 'none /srv/pool guestmemfs rw,node=1 0 0\nnode0 /x tmpfs rw 0 0\n')
    equal(generate(h)[0], {'mnt-node0.mount', 'mnt-node12.mount'})
    h.write('/etc/default/guestmemfs', 'MOUNTS=/srv/vm_ram\n')
    equal(generate(h)[0], {'srv-vm_ram-node0.mount', 'srv-vm_ram-node12.mount'})
    h.write('/etc/default/guestmemfs', 'MOUNTS=none\n')
    equal(generate(h)[0], set())
    for bad in ('srv', '/srv/a-b', '/srv/', '//srv', '"/a b"'):
        h.write('/etc/default/guestmemfs', 'MOUNTS=%s\n' % bad)
        contains(generate(h, 1)[1], 'is no path of letters')


def install(h):
    subprocess.run(['make', '-s', '-C', TOP, 'install', 'OUT=' + h.bindir,
                    'DESTDIR=' + h.path('/dest')], check=True, stdout=subprocess.DEVNULL)


def test_units_are_valid(h):
    # Red if a unit has a setting that systemd does not know, depends in a circle, or calls a
    # program that is not installed.
    if not shutil.which('systemd-analyze'):
        raise Skip('there is no systemd-analyze')
    install(h)
    h.pool(0)
    generate(h)
    units = '/dest/lib/systemd/system/'
    for name in ('sysinit', 'basic', 'shutdown', 'local-fs', 'network', 'multi-user', 'umount'):
        h.write(units + name + '.target', '[Unit]\nDescription=A stub\nDefaultDependencies=no\n')
    shutil.copy(h.path('/units/mnt-node0.mount'), h.path(units))
    for program in ('/bin/sh', '/bin/true', '/usr/bin/qemu-system-x86_64', '/usr/bin/virsh'):
        h.write('/dest' + program, '#!/bin/sh\n')
        os.chmod(h.path('/dest' + program), 0o755)
    ours = [n for n in os.listdir(h.path(units)) if 'guestmemfs' in n or n.endswith('.mount')]
    equal(len(ours), 8)
    for name in ours:
        r = subprocess.run(['systemd-analyze', 'verify', '--man=no', '--root=' + h.path('/dest'),
                            h.path(units + name)], capture_output=True, text=True, check=False)
        # A directory that the unit does not look in.
        said = [l for l in r.stderr.splitlines() if 'system.control' not in l]
        equal((name, r.returncode, said), (name, 0, []))


def unit(name):
    with open('%s/systemd/%s' % (TOP, name), encoding='utf-8') as f:
        return [line for line in f.read().splitlines() if not line.startswith('#')]


def words(name, key):
    return {w for line in unit(name) if line.startswith(key + '=') for w in line.split('=')[1].split()}


def test_units_are_ordered(h):
    # Red if VMMs are stopped before their guests are saved: the guests of libvirt are scopes that
    # have only virt-guest-shutdown.target in common with other units, and only if somebody wants it.
    after = words('guestmemfs-guests.service', 'After')
    assert {'guestmemfs.target', 'virt-guest-shutdown.target', 'libvirtd.service',
            'virtqemud.service'} <= after, after
    assert 'virt-guest-shutdown.target' in words('guestmemfs-guests.service', 'Wants')
    assert 'guestmemfs-guests.service' in words('guestmemfs-vm@.service', 'Before')
    # Red if a VMM starts before it is known whether it has to wait for a state.
    assert 'guestmemfs.target' in words('guestmemfs-vm@.service', 'After')
    assert 'guestmemfs-prepare.service' in words('guestmemfs.target', 'After')
    # Red if a guest starts at boot before udev has loaded KVM.
    for key in ('Wants', 'After'):
        assert 'guestmemfs-kvm.service' in words('guestmemfs.target', key)
    # Red if a domain of libvirt that is saved starts anew at boot.
    assert 'guestmemfs.target' in words('guestmemfs-libvirt@.service', 'After')
    equal(words('guestmemfs-libvirt@.service', 'ConditionPathExists'), {'!/run/guestmemfs/%i.env'})
    assert h


def test_units_call_commands_that_exist(h):
    # Red if an option is renamed in the program alone.
    calls = 0
    for name in os.listdir(TOP + '/systemd'):
        with open('%s/systemd/%s' % (TOP, name), encoding='utf-8') as f:
            for call in re.findall(r'^Exec\w+=/usr/sbin/guestmemctl (.*)$', f.read(), re.M):
                words = call.split()
                shown = options(h.ctl(words[0], '--help').out)
                assert set(words[1:]) <= shown, call
                calls += 1
    equal(calls, 3)


def test_the_installation_is_complete(h):
    # Red if a file is not installed, or needs the directory that it was built in.
    install(h)
    files = set()
    for at, _, names in os.walk(h.path('/dest')):
        files |= {os.path.join(at, n)[len(h.path('/dest')):] for n in names}
    for command in COMMANDS:
        assert '/usr/share/man/man8/guestmemctl-%s.8' % command in files
    for name in ('/usr/sbin/guestmemctl', '/usr/sbin/guestmemfs-check-kernel',
                 '/lib/systemd/system-generators/guestmemfs-generator',
                 '/lib/systemd/system/guestmemfs-guests.service',
                 '/lib/systemd/system-preset/80-guestmemfs.preset',
                 '/usr/share/bash-completion/completions/guestmemctl',
                 '/usr/share/man/man5/guestmemfs-guests.5',
                 '/usr/share/doc/guestmemfs-utils/examples/libvirt-qemu'):
        assert name in files, name
    for directory in ('/etc/guestmemfs/guests.d', '/var/lib/guestmemfs'):
        assert os.path.isdir(h.path('/dest' + directory))
    # It finds the program for check-kernel beside itself.
    h.bindir = h.path('/dest/usr/sbin')
    h.ctl('check-kernel', '/boot/vmlinuz-9')


def test_no_unit_is_enabled_at_the_first_boot(_):
    # Red if a new unit has no line in the preset: systemd enables it at the first boot of an image.
    rules = []
    with open(TOP + '/systemd/80-guestmemfs.preset', encoding='utf-8') as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                verb, pattern = line.split()
                equal(verb, 'disable')
                rules.append(pattern)
    units = [u for u in os.listdir(TOP + '/systemd') if u.endswith(('.service', '.target'))]
    assert len(units) >= 5, units
    for unit in units:
        # The units that are enabled are instances of a template.
        name = unit.replace('@', '@vm1')
        assert any(fnmatch.fnmatchcase(name, r) for r in rules), unit


def test_the_example_of_a_description_is_right(h):
    # Red if a key is renamed in the program alone.
    h.pool(0, '/mnt/node0')
    shutil.copy(TOP + '/systemd/example.conf', h.path('/run/x'))
    with open(TOP + '/systemd/example.conf', encoding='utf-8') as f:
        text = f.read()
    h.write('/etc/guestmemfs/guests.d/vm1.conf', re.sub('^# (state|timeout)', r'\1', text, flags=re.M))
    contains(h.ctl('live-update', '--dry-run').out, 'vm1: does not run')
    keys = set(re.findall(r'^#? ?(\w+) =', text, re.M))
    equal(keys, {'qmp', 'start', 'state', 'timeout'})
    for key in keys:
        contains(page('guestmemfs-guests.5'), '\n.TP\n.B %s\n' % key)
