"""Operating system services for the other adapters.

``process``, ``child_python`` and ``usernamespace`` start programs; ``async_worker`` and ``executors`` run work in
threads and processes. ``inotify`` watches files, ``netns_sockets`` opens sockets, ``clock`` and ``budgets`` measure
time. ``libc`` is the C library; ``gc_tuning`` and ``logging_setup`` configure Python.
"""
