BEGIN TRANSACTION;
CREATE TABLE appends (
	run_id INTEGER NOT NULL, 
	first_seq BIGINT NOT NULL, 
	last_seq BIGINT NOT NULL, 
	version INTEGER NOT NULL, 
	recorded_at BIGINT NOT NULL, 
	prev_hash BLOB NOT NULL, 
	hash BLOB NOT NULL, 
	CONSTRAINT pk_appends PRIMARY KEY (run_id, first_seq), 
	CONSTRAINT fk_appends_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "appends" VALUES(1,1,9,1,1767225700000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'4EEE28C8126E6D9BC8D4FEA48C66C421200951B0B3D6CD7DE57D892D3AC798B1');
INSERT INTO "appends" VALUES(1,10,28,1,1767225700000000,X'4EEE28C8126E6D9BC8D4FEA48C66C421200951B0B3D6CD7DE57D892D3AC798B1',X'EBE04E82EF10BBCEBD7A0177E01215342E73DBE0FDD7B62407E969F4DC318EBC');
CREATE TABLE events (
	run_id INTEGER NOT NULL, 
	seq BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	call INTEGER, 
	epoch BIGINT, 
	batch BIGINT, 
	logs TEXT NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (run_id, seq), 
	CONSTRAINT fk_events_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "events" VALUES(1,1,1767225600001000,'run_began',1,NULL,NULL,NULL,'{"version":1,"name":"frozen","experiment":"tests","params":{"lr":0.1},"tags":{"kind":"made"},"model":{"name":"net","optimizer":{"class":"Adam"}},"environment":{"host":"here","pid":7}}');
INSERT INTO "events" VALUES(1,2,1767225600002000,'call_began',1,1,NULL,NULL,'{"phase":"train","params":{"steps":2}}');
INSERT INTO "events" VALUES(1,3,1767225600003000,'train_begin',1,1,NULL,NULL,'{}');
INSERT INTO "events" VALUES(1,4,1767225600004000,'epoch_begin',1,1,0,NULL,'{}');
INSERT INTO "events" VALUES(1,5,1767225600005000,'train_batch_begin',1,1,0,0,'{}');
INSERT INTO "events" VALUES(1,6,1767225600006000,'train_batch_end',1,1,0,0,'{"loss":1.0}');
INSERT INTO "events" VALUES(1,7,1767225600007000,'train_batch_begin',1,1,0,1,'{}');
INSERT INTO "events" VALUES(1,8,1767225600008000,'train_batch_end',1,1,0,1,'{"loss":0.5}');
INSERT INTO "events" VALUES(1,9,1767225600009000,'test_begin',1,1,0,NULL,'{}');
INSERT INTO "events" VALUES(1,10,1767225600010000,'test_batch_begin',1,1,0,0,'{}');
INSERT INTO "events" VALUES(1,11,1767225600011000,'test_batch_end',1,1,0,0,'{"loss":0.5}');
INSERT INTO "events" VALUES(1,12,1767225600012000,'test_end',1,1,0,NULL,'{"loss":0.5}');
INSERT INTO "events" VALUES(1,13,1767225600013000,'epoch_end',1,1,0,NULL,'{"loss":1.0,"val_loss":0.5}');
INSERT INTO "events" VALUES(1,14,1767225600014000,'epoch_begin',1,1,1,NULL,'{}');
INSERT INTO "events" VALUES(1,15,1767225600015000,'train_batch_begin',1,1,1,0,'{}');
INSERT INTO "events" VALUES(1,16,1767225600016000,'train_batch_end',1,1,1,0,'{"loss":0.3333333333333333}');
INSERT INTO "events" VALUES(1,17,1767225600017000,'train_batch_begin',1,1,1,1,'{}');
INSERT INTO "events" VALUES(1,18,1767225600018000,'train_batch_end',1,1,1,1,'{"loss":0.25}');
INSERT INTO "events" VALUES(1,19,1767225600019000,'test_begin',1,1,1,NULL,'{}');
INSERT INTO "events" VALUES(1,20,1767225600020000,'test_batch_begin',1,1,1,0,'{}');
INSERT INTO "events" VALUES(1,21,1767225600021000,'test_batch_end',1,1,1,0,'{"loss":0.5}');
INSERT INTO "events" VALUES(1,22,1767225600022000,'test_end',1,1,1,NULL,'{"loss":0.5}');
INSERT INTO "events" VALUES(1,23,1767225600023000,'epoch_end',1,1,1,NULL,'{"loss":-0.0,"val_loss":"NaN"}');
INSERT INTO "events" VALUES(1,24,1767225600024000,'train_end',1,1,NULL,NULL,'{"loss":0.1}');
INSERT INTO "events" VALUES(1,25,1767225600025000,'call_began',1,2,NULL,NULL,'{"phase":"test"}');
INSERT INTO "events" VALUES(1,26,1767225600026000,'test_begin',1,2,NULL,NULL,'{}');
INSERT INTO "events" VALUES(1,27,1767225600027000,'test_end',1,2,NULL,NULL,'{"loss":0.25}');
INSERT INTO "events" VALUES(1,28,1767225600028000,'run_ended',1,NULL,NULL,NULL,'{"status":"finished"}');
CREATE TABLE run_metrics (
	run_id INTEGER NOT NULL, 
	phase TEXT NOT NULL, 
	metric TEXT NOT NULL, 
	last DOUBLE, 
	last_seq BIGINT NOT NULL, 
	last_epoch BIGINT, 
	minimum DOUBLE, 
	minimum_seq BIGINT, 
	minimum_epoch BIGINT, 
	maximum DOUBLE, 
	maximum_seq BIGINT, 
	maximum_epoch BIGINT, 
	CONSTRAINT pk_run_metrics PRIMARY KEY (run_id, phase, metric), 
	CONSTRAINT fk_run_metrics_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "run_metrics" VALUES(1,'test','loss',0.25,27,NULL,0.25,27,NULL,0.25,27,NULL);
INSERT INTO "run_metrics" VALUES(1,'train','loss',0.0,23,1,0.0,23,1,1.0,13,0);
INSERT INTO "run_metrics" VALUES(1,'train','val_loss',NULL,23,1,0.5,13,0,0.5,13,0);
CREATE TABLE run_params (
	run_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	number DOUBLE, 
	CONSTRAINT pk_run_params PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_run_params_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "run_params" VALUES(1,'lr','0.1',0.1);
INSERT INTO "run_params" VALUES(1,'model.name','"net"',NULL);
INSERT INTO "run_params" VALUES(1,'model.optimizer.class','"Adam"',NULL);
CREATE TABLE run_tags (
	run_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_run_tags PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_run_tags_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "run_tags" VALUES(1,'kind','made');
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	uuid TEXT NOT NULL, 
	given_name TEXT NOT NULL, 
	writer TEXT NOT NULL, 
	head BLOB NOT NULL, 
	last_seq BIGINT NOT NULL, 
	last_at BIGINT, 
	name TEXT NOT NULL, 
	experiment TEXT, 
	status TEXT NOT NULL, 
	began_at BIGINT, 
	ended_at BIGINT, 
	attempt INTEGER NOT NULL, 
	epochs INTEGER NOT NULL, 
	open_calls TEXT NOT NULL, 
	error_type TEXT, 
	error_message TEXT, 
	host TEXT, 
	pid BIGINT, 
	version INTEGER NOT NULL, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT uq_runs_uuid UNIQUE (uuid), 
	CONSTRAINT uq_runs_name UNIQUE (name)
);
INSERT INTO "runs" VALUES(1,'01900000-0000-7000-8000-000000000001','frozen','w',X'EBE04E82EF10BBCEBD7A0177E01215342E73DBE0FDD7B62407E969F4DC318EBC',28,1767225600028000,'frozen','tests','finished',1767225600001000,1767225600027000,1,2,'{}',NULL,NULL,'here',7,1);
CREATE TABLE tracker_revision (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT tracker_revision_pkc PRIMARY KEY (version_num)
);
INSERT INTO "tracker_revision" VALUES('0001');
CREATE INDEX ix_runs_experiment ON runs (experiment);
CREATE INDEX ix_runs_began_at ON runs (began_at);
CREATE INDEX ix_events_coarse ON events (run_id, seq) WHERE batch IS NULL;
CREATE INDEX ix_run_params_key_number ON run_params ("key", number);
CREATE INDEX ix_run_tags_key_value ON run_tags ("key", value);
CREATE INDEX ix_run_metrics_metric_last ON run_metrics (metric, last);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER appends_no_update BEFORE UPDATE ON appends BEGIN SELECT RAISE(ABORT, 'appends are append-only'); END;
CREATE TRIGGER appends_no_delete BEFORE DELETE ON appends BEGIN SELECT RAISE(ABORT, 'appends are append-only'); END;
COMMIT;
