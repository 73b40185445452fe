-- E-mail is sent by a process of its own, which holds a lease as the others do.

ALTER TABLE processes
    DROP CONSTRAINT processes_kind_check,
    ADD CONSTRAINT processes_kind_check CHECK (kind IN ('gateway', 'worker', 'mailer'));
