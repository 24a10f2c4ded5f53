# SPDX-License-Identifier: GPL-2.0
"""A host for tests: a tree with the files of /sys, /proc and so on that guestmemctl reads, and
programs that take the place of QEMU, kexec and systemctl."""

import json
import os
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
UUID = '11111111-2222-3333-4444-%012d'
FORMAT = 'kho-v4 format 1 features 0xf'

# Each writes its arguments to the log. "systemctl" and "kexec" fail if there is a file
# fail.systemctl or fail.kexec.
FAKE = '''#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
echo "${0##*/} $*" >>"$GUESTMEMCTL_ROOT/log"
if [ -e "$GUESTMEMCTL_ROOT/fail.${0##*/}.$1" ]; then
    cat "$GUESTMEMCTL_ROOT/fail.${0##*/}.$1"
    exit 1
fi
case "${0##*/} $1 $2" in
"kexec -s -l") echo 1 >"$GUESTMEMCTL_ROOT/sys/kernel/kexec_loaded" ;;
"kexec -s -u") echo 0 >"$GUESTMEMCTL_ROOT/sys/kernel/kexec_loaded" ;;
"systemctl list-jobs"*) cat "$GUESTMEMCTL_ROOT/jobs" ;;
esac
'''


class Skip(Exception):
    """The test cannot be done here."""


class Run:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


class Host:
    def __init__(self, root, bindir):
        self.root, self.bindir = root, bindir
        self.processes = []
        self.last = None
        # The seconds of processor time that a run may take: others may load this host.
        self.seconds = None
        self.nodes = {}
        self.write('/sys/fs/guestmemfs/handover', 'yes\n')
        self.write('/sys/fs/guestmemfs/format', FORMAT + '\n')
        self.write('/sys/kernel/kexec_loaded', '0\n')
        self.write('/proc/cmdline',
                   'BOOT_IMAGE=/vmlinuz root=/dev/vda1 guestmemfs=0:90% kho=on initrd=/initrd.img\n')
        self.write('/proc/uptime', '1000.00 2000.00\n')
        self.write('/proc/sys/kernel/random/boot_id', 'boot-1\n')
        self.write('/proc/self/mountinfo', '22 1 8:1 / / rw - ext4 /dev/vda1 rw\n')
        self.write('/proc/sys/kernel/osrelease', '8-guestmemfs\n')
        self.write('/jobs', '')
        self.kernel('/boot/vmlinuz-9', FORMAT)
        self.write('/boot/initrd.img-9', 'initrd')
        os.symlink('boot/vmlinuz-9', self.path('/vmlinuz'))
        os.mkdir(self.path('/bin'))
        os.mkdir(self.path('/run'))
        os.symlink(HERE + '/fake-virsh', self.path('/bin/virsh'))
        for name in ('kexec', 'systemctl'):
            self.write('/bin/' + name, FAKE)
            os.chmod(self.path('/bin/' + name), 0o755)

    def path(self, path):
        return self.root + path

    def write(self, path, contents):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), 'w', encoding='utf-8') as out:
            out.write(contents)

    def read(self, path):
        with open(self.path(path), encoding='utf-8') as f:
            return f.read()

    def exists(self, path):
        return os.path.exists(self.path(path))

    def kernel(self, path, word):
        """An unpacked kernel, with the text by which one says what it takes over."""
        self.write(path, '\x7fELF ... guestmemfs takes over: %s\n ...' % word)

    def pool(self, node, mount=None, device='0:50', **values):
        """A pool in sysfs; with a mount point, it is mounted."""
        self.nodes[node] = mount
        files = dict(size=2 << 30, metadata_size=8 << 20, uuid=UUID % node, kexecs=3, refused='no',
                     pinned=0, persistent=0, poisoned=0)
        if mount:
            files.update(free=1 << 30, reserved=1 << 21, detached=0, lost=0, unzeroed=4096,
                         largest_free=1 << 30, free_gigabytes=1, room=0)
            os.makedirs(self.path(mount), exist_ok=True)
            with open(self.path('/proc/self/mountinfo'), 'a', encoding='utf-8') as out:
                out.write('%d 22 %s / %s rw shared:7 - guestmemfs node%d rw,node=%d\n' % (
                    40 + node, device, mount.replace(' ', '\\040'), node, node))
        files.update(values)
        for name, value in files.items():
            self.write('/sys/fs/guestmemfs/node%d/%s' % (node, name), '%s\n' % value)

    def tables(self, path, description):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        subprocess.run([HERE + '/make-tables', self.path(path)], input=description, text=True,
                       check=True)

    def pool_tables(self, node, description):
        self.tables('/sys/kernel/debug/guestmemfs/node%d/tables' % node, description)

    def run(self, *arguments, preload=None):
        """Runs guestmemctl, with a library of the tests."""
        env = dict(os.environ, GUESTMEMCTL_ROOT=self.root, LC_ALL='C',
                   PATH=self.path('/bin') + ':' + os.environ['PATH'])
        if preload:
            env['LD_PRELOAD'] = self.bindir + '/' + preload
        limit = ['sh', '-c', 'ulimit -t %d; exec "$@"' % self.seconds, 'sh'] if self.seconds else []
        r = subprocess.run(limit + [self.bindir + '/guestmemctl'] + list(arguments), env=env,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                           check=False)
        self.last = Run(r.returncode, r.stdout, r.stderr)
        return self.last

    def ctl(self, *arguments, status=0, preload=None):
        """Runs guestmemctl, which has to exit with that status."""
        r = self.run(*arguments, preload=preload)
        assert r.status == status, 'exit status %d, not %d' % (r.status, status)
        return r

    def start_ctl(self, *arguments):
        env = dict(os.environ, GUESTMEMCTL_ROOT=self.root, LC_ALL='C',
                   PATH=self.path('/bin') + ':' + os.environ['PATH'])
        p = subprocess.Popen([self.bindir + '/guestmemctl'] + list(arguments), env=env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        self.processes.append(p)
        return p

    def json(self, *arguments, status=0, preload=None):
        return json.loads(self.ctl(*arguments, status=status, preload=preload).out)

    # Guests

    def guest(self, name, pools=(0,), start=True, conf='', **config):
        """A guest with a file of 512 MiB on each of these pools, its description, and its VMM."""
        memory = {}
        for node in pools:
            path = '%s/%s' % (self.nodes[node], name)
            with open(self.path(path), 'w', encoding='utf-8') as f:
                f.truncate(512 << 20)
            memory['ram%d' % node] = {'type': 'memory-backend-file', 'share': True,
                                      'size': 512 << 20, 'mem-path': path}
        config.setdefault('memory', memory)
        self.write('/qemu/%s.json' % name, json.dumps(config))
        command = ' '.join([HERE + '/fake-qemu', self.path('/run/%s.qmp' % name),
                            self.path('/qemu/%s.log' % name), self.path('/qemu/%s.json' % name)])
        self.write('/etc/guestmemfs/guests.d/%s.conf' % name,
                   '# a guest\nqmp = /run/%s.qmp\nstart = exec %s $GUESTMEMFS_INCOMING\n%s' % (
                       name, command, conf))
        if start:
            self.start(name)

    def domain(self, name, conf='', xml=None, **config):
        """A guest of libvirt."""
        self.guest(name, start=False, **config)
        # Each command is a process of its own, which takes its time on a busy host.
        self.write('/etc/guestmemfs/guests.d/%s.conf' % name,
                   'libvirt = %s\ntimeout = 250\n%s' % (name, conf))
        self.write('/domains/%s.xml' % name, xml or '''<domain type='kvm' id='1'>
  <name>%s</name>
  <qemu:commandline>
    <qemu:arg value='-machine'/>
    <qemu:arg value='memory-backend=gm'/>
  </qemu:commandline>
</domain>
''' % name)
        p = self.start(name)
        self.write('/run/libvirt/qemu/%s.pid' % name, '%d\n' % p.pid)
        # As the owner of the process is looked up.
        os.makedirs(self.path('/proc/%d' % p.pid))

    def start(self, name, *arguments):
        p = subprocess.Popen([HERE + '/fake-qemu', self.path('/run/%s.qmp' % name),
                              self.path('/qemu/%s.log' % name), self.path('/qemu/%s.json' % name)] +
                             list(arguments))
        self.processes.append(p)
        self.wait(lambda: self.exists('/run/%s.qmp' % name), 'the fake QEMU')
        return p

    def wait(self, condition, what):
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.01)
        raise AssertionError('waited for ' + what)

    def qmp_log(self, name):
        """The commands that the VMM of a guest got, as (ms, text)."""
        lines = self.read('/qemu/%s.log' % name).splitlines()
        return [(int(l.split(' ', 1)[0]), l.split(' ', 1)[1]) for l in lines]

    def commands(self, name):
        return [text for _, text in self.qmp_log(name)]

    def log(self):
        return self.read('/log').splitlines() if self.exists('/log') else []

    def reboot(self):
        """The next kernel: no process is left, and it has booted just now."""
        self.end()
        for name in os.listdir(self.path('/run')):
            if name.endswith('.qmp'):
                os.unlink(self.path('/run/' + name))
        self.write('/proc/sys/kernel/random/boot_id', 'boot-2\n')
        self.write('/proc/uptime', '0.50 0.50\n')

    def end(self):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
            p.wait()
            if p.stdout:
                p.stdout.close()
        self.processes = []
        # VMMs that guestmemctl has started.
        for pid in os.listdir('/proc'):
            if not pid.isdigit():
                continue
            try:
                with open('/proc/%s/cmdline' % pid, 'rb') as f:
                    words = f.read().decode(errors='replace').split('\0')
                if any(w.endswith('/fake-qemu') for w in words[:2]) and any(
                        w.startswith(self.root + '/') for w in words):
                    os.kill(int(pid), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                pass

    def last_output(self):
        if not self.last:
            return []
        return ('status %d\nout: %s\nerr: %s' % (self.last.status, self.last.out,
                                                 self.last.err)).splitlines()


def contains(text, *parts):
    for part in parts:
        assert part in text, '%r is not in: %s' % (part, text)


def equal(have, want):
    assert have == want, 'have %r, want %r' % (have, want)
