-- Magnum's database, made once as the database's administrator.
CREATE DATABASE magnum CHARACTER SET utf8mb3;
CREATE USER 'magnum'@'%' IDENTIFIED BY 'DATABASE_PASSWORD';
-- All rights in it: Magnum and the driver make and change their own tables.
GRANT ALL ON magnum.* TO 'magnum'@'%';
