# SPDX-License-Identifier: GPL-2.0
"""guestmemctl map"""

import os
import random
import subprocess
import xml.etree.ElementTree as xml

from host import HERE, contains, equal

GOLDEN = HERE + '/../../testing/guestmemfs/golden-v1-states'

SMALL = '''
range 0x100000000 0x40000000 0
file 2 1 vm1 0x20000000
file 3 1 vm2 0x10000000 private
extent 2 0 0 100
extent 2 100 300 20
mixed 2 120 330 5
extent 3 0 128 64
extent 1 420 420 2 detached
bad 10 3
bad 500 1
'''


def cells(out):
    """The part of the picture below its key, by address: the line and its marks."""
    lines = out.split("in part.\n\n", 1)[1].splitlines()
    rows = {}
    for i, line in enumerate(lines):
        if line.startswith('0x'):
            address, row = line.split(None, 1) if len(line.split(None, 1)) == 2 else (line, '')
            marks = lines[i + 1][15:] if i + 1 < len(lines) and lines[i + 1][:15].isspace() else ''
            rows[int(address, 16)] = (row, marks)
    return rows


def picture(h, description, *arguments):
    h.tables('/tables', description)
    return h.ctl('map', '--tables', h.path('/tables'), *arguments).out


def test_map_of_a_gigabyte_shows_each_block(h):
    # Red if a block is drawn in another place, or a mark is in another column.
    rows = cells(picture(h, SMALL))
    equal(len(rows), 8)
    equal(rows[0x100000000], ('a' * 64, ' ' * 10 + '!'))
    equal(rows[0x108000000], ('a' * 36 + '.' * 28, ''))
    equal(rows[0x110000000], ('b' * 64, '-' * 64))
    equal(rows[0x120000000], ('.' * 44 + 'a' * 20, ''))
    equal(rows[0x128000000], ('.' * 10 + 'a' + '.' * 53, ' ' * 10 + '-'))
    equal(rows[0x130000000], ('.' * 36 + '??' + '.' * 26, ' ' * 36 + '##'))
    equal(rows[0x138000000], ('.' * 64, ' ' * 52 + '!'))


def test_map_tells_whole_gigabytes_from_broken_ones(h):
    # Red if a gigabyte counts as whole that no single entry can map: out of order, in two pieces,
    # partly private, at another place in its gigabyte, or with a bad page.
    out = picture(h, '''
range 0x100000000 0x200000000 0
file 2 1 vm1 0x200000000
extent 2 0 0 512
extent 2 1024 512 256
extent 2 1280 768 256
extent 2 2049 1024 512
extent 2 4096 1536 512 converted
extent 2 5120 2048 512
bad 2100 1
extent 2 6144 2560 511
mixed 2 6655 3071 7
''')
    contains(out, '0x00100000000  =//=!/..\n', '2 whole, 2 free, 4 broken')
    # MEMORY PIECES WHOLE PRIVATE PINNED BAD of the file.
    equal(out.splitlines()[-1].split(), ['a', '6G', '8', '2', '1G', '-', '4K', '/vm1'])


def test_map_of_four_tebibytes_fits_on_a_screen(h):
    # Red if the size of cells does not follow that of the pool, or the majority has not the cell.
    out = picture(h, '''
range 0x100000000 0x40000000000 0
file 2 1 large 0x20000000000
file 3 1 small 0x40000000
extent 2 0 0 1048576
extent 3 0 1048576 100
extent 2 1048576 1048676 101
extent 3 100 1048777 300
extent 3 400 1049600 100
extent 2 2000000 1049800 100
extent 2 2000200 1049950 1
file 4 1 third 0x40000000
extent 2 2000300 1050112 10
extent 3 500 1050122 10
extent 4 0 1050132 5
''')
    contains(out, '1G a character')
    # A range that begins in the middle of a row has one row more.
    rows = cells(out)
    equal(len(rows), 65)
    equal(rows[0x0], ('a' * 60, ''))
    equal(rows[0x20000000000], ('aaaab.a*' + '.' * 56, "    ' ''"))
    assert len(out.splitlines()) < 170


def test_map_draws_ranges_apart(h):
    # Red if memory between two ranges is drawn as memory of the pool, or a row twice.
    out = picture(h, '''
range 0x38000000 0x8000000 448
range 0x80000000 0x40000000 512
range 0xd0000000 0x18000000 1152
''')
    rows = cells(out)
    equal(sorted(rows), [0x38000000] + [0x80000000 + i * 0x8000000 for i in range(8)] +
          [0xd0000000 + i * 0x8000000 for i in range(3)])
    contains(out, '0 whole, 3 free, 0 broken')


def test_map_of_two_ranges_in_a_row(h):
    # Red if a row is drawn once for each range in it: a pool that was resized has such ranges.
    rows = picture(h, '''
range 0x10000000 0x8000000 128
range 0x30000000 0x8000000 384
range 0x100000000 0x1000000000 1024
''').splitlines()
    equal([r for r in rows if r.startswith('0x00000000000')],
          ['0x00000000000  .', '0x00000000000' + ' ' * 10 + '....' + ' ' * 12 + '....'])


def test_map_of_the_golden_pool_has_what_the_kernel_wrote(h):
    # Red if this program reads the format in another way than guestmemfs-dump, whose output is
    # beside the tables.
    subprocess.run([HERE + '/make-tables', '--from-dump', h.path('/tables'), GOLDEN + '.txt'],
                   check=True)
    j = h.json('map', '--json', '--tables', h.path('/tables'))
    with open(GOLDEN + '.dump', encoding='utf-8') as f:
        dump = f.read()
    pieces = set()
    for line in dump.split('extent table\n')[1].split('map table')[0].splitlines():
        words = line.replace(':', ' ').replace(',', ' ').split()
        if 'none' in words:
            continue
        inode = int(words[2]) if words[1] == 'inode' else None
        count, block = int(words[words.index('blocks') - 1]), int(
            words[len(words) - 1 - words[::-1].index('from') + 1])
        pieces.add((inode, block, count << 21))
    equal({(p['inode'], p['block'], p['length']) for p in j['pieces']}, pieces)
    equal([(r['address'], r['size'] >> 20) for r in j['ranges']],
          [(0x38000000, 128), (0x80000000, 1024), (0xd0000000, 384)])


def test_map_counts_converted_pages_by_the_first_character(h):
    # Red if the converted pages of a file that begins private are counted as private.
    h.tables('/tables', '''
range 0x100000000 0x40000000 0
file 2 1 shared 0x400000
file 3 1 private 0x400000 private
mixed 2 0 0 5
mixed 3 0 1 5
extent 2 1 2 1 converted
extent 3 1 3 1 converted
''')
    j = h.json('map', '--json', '--tables', h.path('/tables'))
    equal({(p['file'], p['offset'] >> 21): p['private'] >> 12 for p in j['pieces']},
          {('/shared', 0): 5, ('/private', 0): 507, ('/shared', 1): 512, ('/private', 1): 0})


def test_map_shows_persistent_pins_of_an_unmounted_pool(h):
    # Red if the table of pins is not read.
    rows = cells(picture(h, '''
range 0x100000000 0x40000000 0
file 2 1 vm 0x800000
extent 2 0 0 4
pin 1 511 2 2
'''))
    equal(rows[0x100000000][1], " ##")


def test_map_shows_what_devices_have_pinned_now(h):
    # Red if the state of pages is asked of another file, or marked at another place: the offsets of
    # a file with several pieces are not those of its blocks.
    h.pool(0, '/mnt/node0', pinned=12288)
    h.pool_tables(0, '''
range 0x100000000 0x40000000 0
file 2 1 vm1 0x1000000
file 3 1 vm2 0x1000000
extent 2 0 100 2
extent 2 4 10 4
extent 3 0 200 8
''')
    for name in ('vm1', 'vm2'):
        with open(h.path('/mnt/node0/' + name), 'w', encoding='utf-8') as f:
            f.truncate(16 << 20)
    # GUESTMEMFS_STATE_ALLOCATED is 1, PINNED is 4. Two pages beside each other, in two blocks.
    h.write('/states', 'vm1 %d %d 5\nvm2 %d %d 5\nvm2 %d %d 4\n' % (
        (6 << 21) - 4096, 8192, 3 << 21, 4096, 5 << 21, 4096))
    rows = cells(h.ctl('map', 'node0', preload='fake-ioctl.so').out)
    equal(rows[0x100000000][1], ' ' * 11 + '##')
    equal(rows[0x118000000][1], ' ' * (203 - 192) + '#')
    files = {f['path']: f['pinned'] for f in h.json('list', '--json', preload='fake-ioctl.so')[
        'pools'][0]['files']}
    equal(files, {'/vm1': 8192, '/vm2': 4096})


def test_map_of_damaged_tables_ends(h):
    # Red if a number in the tables is used without a check: with the sanitizers of check-tools, any
    # access beyond what was read is an error.
    h.tables('/tables', SMALL + 'pin 3 1 2 2\ndir 4 1 d\nfile 5 4 f 4096\n'
             'range 0x200000000 0x40000000 512\nextent 5 0 512 512\nextent 1 512 512 9 detached\n')
    with open(h.path('/tables'), 'rb') as f:
        good = f.read()
    places = list(range(0, 600)) + [i for i in range(4096, len(good)) if good[i]]
    random.seed(21)
    for n in range(65):
        data = bytearray(good)
        if n < 5:
            # Fewer blocks than ranges, extents, pins and bad pages say.
            data[68:72] = (1, 11, 300, 500, 1000)[n].to_bytes(4, 'little')
        else:
            for _ in range(random.choice((1, 2, 8))):
                data[random.choice(places)] = random.choice((0, 1, 0x7f, 0x80, 0xff))
            data = data[:random.choice((len(data), len(data), 5000, 4096, 100))]
        with open(h.path('/tables'), 'wb') as f:
            f.write(data)
        for way in (('--json',), ('--svg', '-'), ('--width', '64')):
            assert h.run('map', '--tables', h.path('/tables'), *way).status in (0, 2)


def test_map_of_damaged_ranges_ends(h):
    # Red if addresses are added without a limit, so that there is no end, or a block is looked for
    # behind the last one.
    for base, size in (('0xffffffffc0000000', '0x3fe00000'), ('0x7fffffffc0000000', '0x40000000'),
                       ('0x100000000', '0x40001000'), ('0x100001000', '0x40000000')):
        h.tables('/tables', 'range 0x200000000 0x40000000 512\nrange %s %s 0\n'
                 'file 2 1 vm 0x200000\n' % (base, size))
        for way in ((), ('--json',), ('--svg', '-')):
            h.ctl('map', '--tables', h.path('/tables'), *way)
        h.tables('/tables', 'range %s %s 0\n' % (base, size))
        h.ctl('map', '--tables', h.path('/tables'))


def test_map_as_svg_is_well_formed(h):
    # Red if a name breaks the picture, or the rectangles of a tile leave it or overlap.
    h.tables('/tables', SMALL.replace('vm1', '<a&"b>'))
    h.ctl('map', '--svg', h.path('/out.svg'), '--tables', h.path('/tables'))
    root = xml.parse(h.path('/out.svg')).getroot()
    ns = '{http://www.w3.org/2000/svg}'
    tiles = [g for g in root.iter(ns + 'g') if g.get('transform', '').startswith('translate(0 0)')]
    equal(len(tiles), 1)
    titles, area = [], 0
    for path in tiles[0].iter(ns + 'path'):
        title = path.find(ns + 'title')
        if title is None:
            continue
        titles.append(title.text)
        for rect in path.get('d').strip('M').split('M'):
            x, rest = rect.split(',', 1)
            y, rest = rest.split('h', 1)
            w, rest = rest.split('v', 1)
            height = rest.split('h')[0]
            assert int(x) + int(w) <= 32 and int(y) + int(height) <= 16, rect
            area += int(w) * int(height)
    equal(area, 512)
    assert any('/<a&"b>' in t for t in titles), titles
    out = h.ctl('map', '--svg', '-', '--tables', h.path('/tables')).out
    equal(out, h.read('/out.svg'))


def test_map_reads_a_pool_by_name(h):
    # Red if the tables of another pool are drawn, or a pool without tables gives an empty picture.
    h.pool(0, '/mnt/node0')
    h.pool(1, '/mnt/node1')
    h.pool_tables(0, SMALL)
    contains(h.ctl('map', 'node0').out, 'node0: 1G in 1 ranges, 2 files')
    contains(h.ctl('map', '1', status=2).err, 'cannot read', 'if debugfs is mounted')
    contains(h.ctl('map', 'node7', status=2).err, 'there is no pool node7')


def test_map_refuses_bad_arguments(h):
    # Red if an argument that is wrong is ignored.
    h.tables('/tables', SMALL)
    t = ('--tables', h.path('/tables'))
    for bad in (('map',), ('map', 'a', 'b'), ('map', '--width', '63') + t,
                ('map', '--width', '-64') + t, ('map', '--color', 'red') + t,
                ('map', '--json', '--svg', '-') + t, ('map', 'node0') + t, ('map', '--svg'),
                ('map', '--tables', h.path('/nothing')), ('map', '--tables', h.path('/proc'))):
        h.ctl(*bad, status=2)
    contains(h.ctl('map', '--color', 'always', *t).out, '\x1b[')
    assert '\x1b' not in h.ctl('map', *t).out
    equal(len(cells(h.ctl('map', '--width', '32', *t).out)), 16)


def test_map_that_cannot_be_written_fails(h):
    # Red if a picture that does not fit on the disk is a success.
    h.tables('/tables', SMALL)
    h.ctl('map', '--svg', '/dev/full', '--tables', h.path('/tables'), status=2)
    h.ctl('map', '--svg', h.path('/no/such/dir'), '--tables', h.path('/tables'), status=2)
    with open('/dev/full', 'w', encoding='utf-8') as full:
        r = subprocess.run([h.bindir + '/guestmemctl', 'map', '--tables', h.path('/tables')],
                           stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                           env=dict(os.environ))
    equal(r.returncode, 2)
    contains(r.stderr, 'cannot write')
