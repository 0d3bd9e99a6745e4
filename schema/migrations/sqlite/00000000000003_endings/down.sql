DROP TABLE changes;
DROP TABLE blocks;
ALTER TABLE users DROP COLUMN asked_count;
ALTER TABLE users DROP COLUMN asked_day;
ALTER TABLE users DROP COLUMN gone_ms;
ALTER TABLE pairs DROP COLUMN ended_ms;
