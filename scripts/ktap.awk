# SPDX-License-Identifier: GPL-2.0
# Reads a KTAP document with its subtests and prints an evaluation:
#   pass N	the number of results without subtests that are ok
#   failed: ..	one line for each result that is not ok
#   bad: ..	one line for each error that makes the document incomplete
#   skip: ..	one line for each result that was skipped, or that was expected to fail
#   count N ..	one line for each result, at the first two levels, that has subtests: the number of
#		results without subtests in it, whether they are ok or not
# At every level there must be a plan, before or after its results.

function name(text)
{
	sub(/^(not )?ok *[0-9]* *(- *)?/, "", text)
	return text
}

function push(indent)
{
	depth++
	ind[depth] = indent
	plan[depth] = -1
	count[depth] = 0
	failed[depth] = 0
	nested[depth] = 0
	nested_failed[depth] = 0
	leaves[depth] = 0
	inner[depth] = 0
}

function pop()
{
	if (plan[depth] < 0)
		print "bad: " where() ": no plan"
	else if (plan[depth] != count[depth])
		print "bad: " where() ": plan of " plan[depth] ", but " count[depth] " results"
	else if (plan[depth] == 0 && !allskipped[depth])
		print "bad: " where() ": a plan of nothing"
	depth--
	if (depth > 0) {
		nested[depth] = 1
		inner[depth] += leaves[depth + 1]
		if (failed[depth + 1])
			nested_failed[depth] = 1
	}
}

function where()
{
	return depth > 1 ? "subtests before line " NR : "the results"
}

function tally(line,	what)
{
	if (nested[depth] && depth <= 2) {
		what = name(line)
		sub(/ *# .*/, "", what)
		print "count " inner[depth] " " what
	}
	leaves[depth] += nested[depth] ? inner[depth] : 1
	inner[depth] = 0
}

function result(line,	is_ok, number, skip)
{
	is_ok = line !~ /^not ok/
	# A test that was expected to fail (XFAIL, TODO) has not passed, so it counts as skipped.
	skip = line ~ /# *([Ss][Kk][Ii][Pp]|[Xx][Ff][Aa][Ii][Ll]|[Tt][Oo][Dd][Oo])/
	number = line
	sub(/^(not )?ok */, "", number)
	count[depth]++
	if (number !~ /^[0-9]/ || number + 0 != count[depth])
		print "bad: line " NR ": result " count[depth] " expected in: " line
	if (skip && is_ok) {
		print "skip: " name(line)
	} else if (!is_ok) {
		failed[depth] = 1
		# If a subtest has failed, that failure has been printed and counts only once.
		if (!nested_failed[depth])
			print "failed: " name(line)
	} else if (nested_failed[depth]) {
		print "bad: line " NR ": ok in spite of failed subtests: " name(line)
	} else if (!nested[depth]) {
		passed++
	}
	tally(line)
	nested[depth] = 0
	nested_failed[depth] = 0
}

{
	sub(/\r$/, "")
	match($0, /^ */)
	indent = RLENGTH
	line = substr($0, indent + 1)
}

line ~ /^K?TAP version [0-9]/ {
	if (depth > 0 && indent <= ind[depth])
		print "bad: line " NR ": another document begins inside"
	else
		push(indent)
	next
}

line ~ /^1\.\.[0-9]+/ {
	if (depth == 0) {
		print "bad: line " NR ": a plan before the version line"
		push(indent)
	}
	while (depth > 1 && indent < ind[depth])
		pop()
	if (indent > ind[depth])
		push(indent)
	if (plan[depth] >= 0)
		print "bad: line " NR ": a second plan"
	plan[depth] = substr(line, 4) + 0
	allskipped[depth] = line ~ /# *[Ss][Kk][Ii][Pp]/
	if (allskipped[depth])
		print "skip: all of " where() ": " line
	next
}

line ~ /^(not )?ok($| )/ {
	if (depth == 0) {
		print "bad: line " NR ": a result before the version line"
		push(indent)
	}
	while (depth > 1 && indent < ind[depth])
		pop()
	if (indent != ind[depth]) {
		print "bad: line " NR ": a result that belongs to no plan: " line
		next
	}
	result(line)
	next
}

line ~ /^Bail out!/ {
	print "bad: " line
}

END {
	if (depth == 0)
		print "bad: no results at all"
	while (depth > 0)
		pop()
	print "pass " passed + 0
}
