"""The server process: gunicorn's threaded worker, with what a balanced Spot machine needs.

One request's way:

    gunicorn's event loop            refusing_worker.RefusingWorker.accept
     |  first bytes                  refusing_worker._refused asks hooks.ServerHooks.refuse
     |   |- full                     early_refusal.EarlyRefusal: 429 from the event loop, no thread is spent
     |   '- room
     '-> a request thread            draining_worker.DrainingWorker.handle: cuts off who never finishes sending
          '-> Flask                  service.serve.http.predict
     <- answered                     lingering_worker.LingeringWorker: reads away what is unread, keeps or closes

    not HTTP                         draining_worker.DrainingWorker.handle_error: 4xx in the common form
    SIGTERM                          draining_worker.DrainingWorker.handle_exit: hooks.ServerHooks.drain, serve on, stop
    the model cannot be opened       supervision: the server ends where only a new process may help

`gunicorn_conf` names the worker and `json_logger`; `service.serve.http.application` hands over its `ServerHooks`. The
parent process imports the workers too, so nothing here imports the model, and nothing but `early_refusal` its services.
"""
