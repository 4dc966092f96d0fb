# Two people change the voters at the same time, at different agents: one is told to wait.
mesh 5 voters 3 regions 2 standing-by
app blog
start
----
blog: epoch 1 apply idle, active east

voters a1 replace a2 a6
voters a5 replace a4 a7
until voters 3 within 60s
run 2s
----
  100.000 a1    changes the voters: replace a2 by a6, for operator
  100.000 a5    changes the voters: replace a4 by a7, for operator
  100.076 a1    changes the voters: gives up for now: 5.10df was promised
  100.104 *     voters version 2, two sets: without a4 (b3f8ea13) with a7 (988b0405)
  100.139 a5    goes by voters version 2: replace a4 by a7, for operator (and a2 a3 a6 a1 a4 a7)
  100.177 a1    answers: Refused("another change of voters is in progress")
  100.208 a5    changes the voters: carries 1 registers over
  111.112 *     voters version 3, one set: a1 a2 a3 a5 a7
  111.147 a5    goes by voters version 3: done: replace a4 by a7, for operator (and a2 a3 a6 a1 a4 a7)
  111.185 a4    does not vote again with this store: its store was replaced or removed by voters version 3
  111.185 a4    is killed

# Then it is the other one's turn.
voters a1 replace a2 a6
until voters 5 within 60s
run 2s
----
  113.112 a1    changes the voters: replace a2 by a6, for operator
  113.164 *     voters version 4, two sets: without a2 (9d600a25) with a6 (7d935a79)
  113.181 a1    goes by voters version 4: replace a2 by a6, for operator (and a4 a7 a3 a6 a2 a5)
  113.215 a1    changes the voters: carries 1 registers over
  124.074 *     voters version 5, one set: a1 a3 a5 a6 a7
  124.091 a1    goes by voters version 5: done: replace a2 by a6, for operator (and a4 a7 a3 a6 a2 a5)
  124.129 a2    does not vote again with this store: its store was replaced or removed by voters version 5
  124.129 a2    is killed

# What is so already, or cannot be.
voters a1 add a7
voters a1 remove a4
voters a1 replace a1 a9
voters a1 replace a1 a1
run 1s
----
  126.074 a1    answers: Refused("a7 votes already")
  126.074 a1    answers: Refused("a4 is no voter")
  126.074 a1    answers: Refused("a9 holds no store ready, or is not heard")
  126.074 a1    answers: Refused("a1 votes already, with the store it holds")
