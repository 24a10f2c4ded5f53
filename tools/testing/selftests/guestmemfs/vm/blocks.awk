# SPDX-License-Identifier: GPL-2.0
# The command blocks of README.md: lines that are indented by four blanks or more, after an empty
# line. The name of a block is SECTION/N: the section as in links to it, and its number there.
#
#   awk -f blocks.awk README.md                     prints the names of all blocks
#   awk -v want=SECTION/N -f blocks.awk README.md   prints a block, without the indentation
#   awk -v inline=SECTION -f blocks.awk README.md   prints what is in `backquotes` in a section, each
#                                                   on a line

function words(paragraph, part, n, i)
{
	n = split(paragraph, part, "`")
	for (i = 2; i <= n; i += 2)
		print part[i]
}

function end_paragraph()
{
	if (inline != "" && section == inline)
		words(paragraph)
	paragraph = ""
}

/^#+ / {
	end_paragraph()
	section = tolower($0)
	sub(/^#+ /, "", section)
	gsub(/[^a-z0-9 -]/, "", section)
	gsub(/ /, "-", section)
	n = 0
	within = 0
	empty = 0
	next
}

/^[ \t]*$/ {
	end_paragraph()
	empty = 1
	within = 0
	next
}

/^    / && (within || empty) {
	if (!within) {
		within = 1
		name = section "/" (++n)
		match($0, /^ */)
		indent = RLENGTH
		if (want == "" && inline == "")
			print name
	}
	if (name == want)
		print substr($0, indent + 1)
	empty = 0
	next
}

{
	line = $0
	sub(/^[ \t]+/, "", line)
	paragraph = paragraph (paragraph == "" ? "" : " ") line
	within = 0
	empty = 0
}

END { end_paragraph() }
