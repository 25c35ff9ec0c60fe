# SPDX-FileCopyrightText: The writ authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes a table of lines in Go's benchmark format: a name that starts with "Benchmark", the iterations, then values each followed by its
# unit. The header has the machine; other lines pass as they are, so a failure is seen.

function human(value, unit,    scaled) {
	if (unit != "ns/op") return value " " unit
	if (value >= 1e9) return sprintf("%.2f s/op", value / 1e9)
	if (value >= 1e6) return sprintf("%.2f ms/op", value / 1e6)
	if (value >= 1e3) return sprintf("%.2f us/op", value / 1e3)
	return value " " unit
}

/^(goos|goarch|cpu): / { machine[$1] = $0; next }
/^pkg: / { package = $2; sub(/^github.com\/writ-sec\/writ\//, "", package); next }
/^=== RUN/ { package = "end to end"; next }
/^(PASS$|=== |[ ]*--- PASS|\?)/ || /^ok .*\[no tests? (files|to run)\]/ || /no test files/ { next }

/^Benchmark[^ \t]*[ \t]+[0-9]+[ \t]/ {
	n++
	where[n] = package
	name[n] = $1
	sub(/^Benchmark/, "", name[n])
	sub(/-[0-9]+$/, "", name[n])
	for (i = 3; i < NF; i += 2) cells[n] = cells[n] sprintf("  %16s", human($i, $(i + 1)))
	if (length(where[n]) > wide) wide = length(where[n])
	if (length(name[n]) > long) long = length(name[n])
	next
}
{ print }

END {
	for (key in machine) print machine[key]
	for (i = 1; i <= n; i++) printf "%-*s  %-*s%s\n", wide, where[i], long, name[i], cells[i]
	if (n == 0) { print "bench: no benchmark ran"; exit 1 }
}
