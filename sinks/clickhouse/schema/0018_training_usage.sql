-- Who trains, and what it takes. Runs of before have none of it.
ALTER TABLE trainings ADD COLUMN IF NOT EXISTS worker LowCardinality(String) COMMENT 'Worker that trains; empty for the appliance itself.' AFTER detail;

ALTER TABLE trainings ADD COLUMN IF NOT EXISTS cpu_seconds Float64 COMMENT 'What the process that trains has spent since the run began, all else that it did included.' AFTER worker;

ALTER TABLE trainings ADD COLUMN IF NOT EXISTS gpu_seconds Float64 DEFAULT nan COMMENT 'How long kernels ran on its machine''s NVIDIA devices meanwhile; nan where nothing measures.' AFTER cpu_seconds;

ALTER TABLE trainings ADD COLUMN IF NOT EXISTS joules Float64 DEFAULT nan COMMENT 'What its machine drew meanwhile, by the meters that energy names; nan where nothing measures.' AFTER gpu_seconds;

ALTER TABLE trainings ADD COLUMN IF NOT EXISTS energy LowCardinality(String) COMMENT 'What joules was measured on: processors (RAPL), NVIDIA devices, or both.' AFTER joules;

ALTER TABLE trainings COMMENT COLUMN state 'waiting (for a worker), started, epoch, finished (a model was made) or failed.';
