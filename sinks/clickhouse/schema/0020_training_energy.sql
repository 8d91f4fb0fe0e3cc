-- What was drawn while a model was made.
ALTER TABLE evaluations ADD COLUMN IF NOT EXISTS training_joules Float64 DEFAULT nan COMMENT 'Energy that it took, of processors and devices; nan where nothing told.' AFTER training_cpu_seconds;
