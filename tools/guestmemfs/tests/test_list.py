# SPDX-License-Identifier: GPL-2.0
"""guestmemctl list"""

import os
import xml.etree.ElementTree as xml

from host import UUID, contains, equal

TABLES = '''
range 0x100000000 0x80000000 0
dir 2 1 vms
file 3 2 vm1 0x40000000
file 4 1 vm2 0x20000000 private
file 5 1 gone 0x200000 orphan
extent 3 0 0 512
extent 4 0 512 10
extent 5 0 600 1
bad 2 7
'''


def row(out, *words):
    """The cells of the line that has these words."""
    for line in out.splitlines():
        if all(w in line.split() for w in words):
            return line.split()
    raise AssertionError('no line with %s' % (words,))


def test_list_shows_pools_and_the_files_in_the_tables(h):
    # Red if a number of sysfs is shown in another column, or an extent is counted for another file.
    h.pool(0, '/mnt/node0', pinned=3 << 20, poisoned=4096)
    h.pool_tables(0, TABLES)
    out = h.ctl('list').out
    contains(out, 'handover: yes')
    equal(row(out, 'node0', '/mnt/node0'),
          ['node0', '2G', '1G', '2M', '1G', '1', '3M', '4K', '0', '3', 'on', '/mnt/node0'])
    equal(row(out, '/mnt/node0/vms/vm1'),
          ['node0', '1G', '1G', '0600', '1000:100', '-', '/mnt/node0/vms/vm1'])
    equal(row(out, '/mnt/node0/vm2')[1:3], ['512M', '20M'])
    contains(out, '(removed, inode 5)')


def test_list_for_programs_has_all_numbers_in_bytes(h):
    # Red if a value that is not known is written as a number, or one that is known is not.
    h.pool(0, '/mnt/node0')
    h.pool(1, refused='its metadata has a memory error')
    h.pool_tables(0, TABLES)
    j = h.json('list', '--json', status=1)
    equal(j['handover'], 'yes')
    first, second = j['pools']
    equal((first['free'], first['uuid'], first['refused']), (1 << 30, UUID % 0, None))
    equal((second['free'], second['refused']), (None, 'its metadata has a memory error'))
    files = {f['path']: f for f in first['files']}
    equal(set(files), {'/vms/vm1', '/vm2', None})
    # A bad page: its gigabyte is one extent, but no single entry maps it.
    vm1 = files['/vms/vm1']
    equal((vm1['poisoned'], vm1['pieces'], vm1['whole_gigabytes']), (4096, 1, 0))
    equal(files['/vm2']['private'], 20 << 20)
    equal(files['/vms/vm1']['private'], 0)


def test_list_finds_who_has_a_file_mapped(h):
    # Red if the device or the inode of a mapping is compared wrongly (it is hexadecimal there), or
    # a process with two mappings is listed twice.
    h.pool(0, '/mnt/node0', device='0:50')
    h.pool_tables(0, TABLES)
    h.write('/proc/77/comm', 'qemu-system-x86\n')
    line = '7f0000000000-7f0040000000 rw-s 00000000 %s %d  /mnt/node0/vms/vm1\n'
    h.write('/proc/77/maps', line % ('00:32', 3) + line % ('00:32', 3) + line % ('00:50', 4) +
            line % ('00:32', 99))
    j = h.json('list', '--json')
    files = {f['path']: f['users'] for f in j['pools'][0]['files']}
    equal(files['/vms/vm1'],
          [{'pid': 77, 'name': 'qemu-system-x86', 'open': False, 'mapped': True}])
    equal(files['/vm2'], [])
    contains(h.ctl('list').out, 'qemu-system-x86 77')


def test_list_without_tables_walks_the_mount(h):
    # Red if files are not found without debugfs, or an open file is not found by its descriptor.
    path = h.path('/mnt/node0/a dir')
    os.makedirs(path)
    with open(path + '/vm1', 'w', encoding='utf-8') as f:
        f.truncate(1 << 30)
    device = os.stat(path).st_dev
    h.pool(0, '/mnt/node0', device='%d:%d' % (os.major(device), os.minor(device)))
    h.write('/proc/88/comm', 'vmm\n')
    os.makedirs(h.path('/proc/88/fd'))
    os.symlink(path + '/vm1', h.path('/proc/88/fd/7'))
    j = h.json('list', '--json')
    equal(j['pools'][0]['files_from'], 'mount')
    (f,) = j['pools'][0]['files']
    equal((f['path'], f['size'], f['private'], f['pieces']), ('/a dir/vm1', 1 << 30, None, None))
    equal(f['users'], [{'pid': 88, 'name': 'vmm', 'open': True, 'mapped': False}])
    contains(h.ctl('list').out, 'vmm 88 (open)')


def test_list_of_a_pool_that_is_not_mounted(h):
    # Red if an unmounted pool is left out, its files are not told from its tables, or a pool whose
    # files are not known is taken for one without files.
    h.pool(0)
    h.pool(1)
    h.pool_tables(0, TABLES)
    r = h.ctl('list', status=1)
    contains(r.out, 'not mounted', '/vms/vm1')
    contains(r.err, 'node1: not mounted, and cannot read')


def test_list_takes_names_of_pools(h):
    # Red if a pool that is not named is listed, or an unknown name is ignored.
    for node in (0, 1, 10):
        h.pool(node, '/mnt/node%d' % node, device='0:%d' % (50 + node))
    for name in ('10', 'node10', '/mnt/node10'):
        equal([p['node'] for p in h.json('list', '--json', name)['pools']], [10])
    equal([p['node'] for p in h.json('list', '--json')['pools']], [0, 1, 10])
    contains(h.ctl('list', 'node2', status=2).err, 'there is no pool node2')


def test_list_ignores_a_mount_of_a_directory_in_a_pool(h):
    # Red if a bind mount of a directory, or a mount point with a blank, is taken wrongly.
    h.write('/proc/self/mountinfo', '41 22 0:50 /vms /srv/vms rw - guestmemfs node0 rw\n')
    h.pool(0, '/mnt/a pool')
    equal(h.json('list', '--json')['pools'][0]['mount'], '/mnt/a pool')


def test_list_without_guestmemfs(h):
    # Red if a kernel without guestmemfs gives an empty list and success.
    os.rename(h.path('/sys/fs/guestmemfs'), h.path('/sys/fs/other'))
    contains(h.ctl('list', status=2).err, 'the running kernel has no guestmemfs')


def test_list_of_damaged_tables_falls_back(h):
    # Red if a damaged or newer table is believed, or ends the program.
    h.pool(0, '/mnt/node0')
    with open(h.path('/mnt/node0/vm9'), 'w', encoding='utf-8'):
        pass
    for damage in ('super 8 4 2', 'super 24 4 0x10', 'super 64 4 12', 'super 72 4 1000',
                   'super 512 4 0xffffffff', 'super 516 4 0xffffffff', 'super 80 8 0xfffffffffffff',
                   'super 0 8 0', 'super 524 4 0xffff'):
        h.pool_tables(0, TABLES + damage)
        j = h.json('list', '--json')
        equal([f['path'] for f in j['pools'][0]['files']], ['/vm9'])
    # Parents in a circle, and extents beyond the pool.
    h.pool_tables(0, 'range 0x100000000 0x40000000 0\ndir 2 3 a\ndir 3 2 b\nfile 4 3 vm 4096\n'
                  'extent 4 0 0x7fffffff 5\nextent 9 0 3 4\nextent 4 0 3 0xffffffff hole\n')
    j = h.json('list', '--json')
    assert j['pools'][0]['files'][0]['path'].startswith('.../'), j
    equal(j['pools'][0]['files'][0]['memory'], 0)


def test_names_of_files_do_not_reach_the_terminal_as_they_are(h):
    # Red if a control character in a name is printed.
    h.pool(0, '/mnt/node0')
    h.pool_tables(0, 'range 0x100000000 0x40000000 0\nfile 2 1 a\x1b[31mb 0x200000\n')
    out = h.ctl('list').out + h.ctl('map', 'node0').out
    assert '\x1b' not in out, out
    contains(out, '/a\\033[31mb')
    equal(h.json('list', '--json')['pools'][0]['files'][0]['path'], '/a\x1b[31mb')


def test_names_of_processes_do_not_reach_the_terminal_as_they_are(h):
    # Red if a user of a pool, who can name a process, can write to the terminal of root.
    h.pool(0, '/mnt/node0')
    h.pool_tables(0, TABLES)
    h.write('/proc/77/comm', 'a\x1b[2J\nb\x9bc\n')
    h.write('/proc/77/maps', '7f0000000000-7f0040000000 rw-s 00000000 00:32 3  /x\n')
    contains(h.ctl('list').out, 'a\\033[2J\\012b\\302\\233c 77')


def test_names_that_are_no_utf8(h):
    # Red if --json, or a picture, is no UTF-8 because of a name, or another name is damaged.
    h.pool(0, '/mnt/node0')
    good = 'ok\u00e4\u20ac\U0001f427'
    h.pool_tables(0, 'range 0x100000000 0x40000000 0\nfile 2 1 bad..... 0x200000\n'
                  'file 3 1 %s 0x200000\n' % good)
    tables = h.path('/sys/kernel/debug/guestmemfs/node0/tables')
    with open(tables, 'rb') as f:
        data = f.read()
    for bytes_ in (b'\xff\xc0\x80..', b'\xed\xa0\x80..', b'\xe0\x80\x80..', b'\xf4\x90\x80\x80.',
                   b'\xf0\x8f\xbf\xbf.', b'\xc3....', b'....\xe2'):
        with open(tables, 'wb') as f:
            f.write(data.replace(b'bad.....', b'bad' + bytes_))
        names = [f['path'] for f in h.json('list', '--json')['pools'][0]['files']]
        assert '/' + good in names, names
        contains(''.join(names), '\ufffd')
        xml.fromstring(h.ctl('map', '--svg', '-', '0').out.encode())
        contains(h.ctl('list').out, '/' + good, '\\3')


def test_list_of_many_files_and_mappings(h):
    # Red if each mapping is compared with each file: minutes on a large host.
    h.pool(0, '/mnt/node0', device='0:50')
    h.pool_tables(0, 'range 0x100000000 0x100000000000 0\n' + ''.join(
        'file %d 1 vm%d 4096\n' % (i, i) for i in range(2, 40002)))
    h.write('/proc/77/comm', 'qemu\n')
    # Of the first file, and often of the last one in the order of names.
    line = '7f0000000000-7f0040000000 rw-s 00000000 00:32 %d  /x\n'
    h.write('/proc/77/maps', line % 2 + 300000 * (line % 9999))
    h.seconds = 8
    files = h.json('list', '--json')['pools'][0]['files']
    equal([f['inode'] for f in files if f['users']], [2, 9999])
