"""The lock that every transition takes first: its thread's. Then come the run, and then its children.

`no key update`: deciders on one thread go one after the other; readers, and whoever only refers to the
thread, are not disturbed.
"""

from __future__ import annotations

THREAD = """
select open_runs, agent from threads where tenant_id = $1 and thread_id = $2 for no key update
"""

THREAD_OF_RUN = """
select t.thread_id, t.open_runs, t.interrupts, t.open_task from threads t
 where t.tenant_id = $1
   and t.thread_id = (select r.thread_id from runs r where r.tenant_id = $1 and r.run_id = $2)
   for no key update
"""
