"""What must happen next: the pure core of a run.

`Advance` folds a fact and follows its consequences to their end; `find_lost_attempts` is what a restart reports,
`find_outstanding` what it performs; `report_return` and `report_error` make facts of how an attempt ended.
"""
