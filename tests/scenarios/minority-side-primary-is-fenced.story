# The primary's site is cut off from the mesh while clients beside it write on: it is shut before another is promoted, and
# no write that was acknowledged after that is lost.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----

site shop east cut
until shop promoting within 60s
state
----

until shop settled within 60s
site shop east reached
run 10s
state
----
