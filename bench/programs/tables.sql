-- Inserts, indexes, joins, aggregates, text and updates in memory. ROWS is replaced by the number of rows. Run several times over.
DROP TABLE IF EXISTS item;
DROP TABLE IF EXISTS sale;
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, price REAL);
CREATE TABLE sale(item INTEGER, day INTEGER, amount INTEGER);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
INSERT INTO item SELECT i, i * 7919 % 31, printf('item %d of %x', i, i * 2654435761 % 65536), i % 97 * 0.25 FROM n;
WITH RECURSIVE n(i, x) AS (SELECT 1, 42 UNION ALL SELECT i + 1, x * 16807 % 2147483647 FROM n WHERE i < ROWS * 4)
INSERT INTO sale SELECT x % ROWS + 1, i % 365, x / 1000 % 9 + 1 FROM n;
COMMIT;
CREATE INDEX sale_item ON sale(item);
CREATE INDEX item_name ON item(name);
SELECT kind, count(*), sum(amount), round(sum(amount * price), 2) FROM item JOIN sale ON sale.item = item.id GROUP BY kind ORDER BY 4 DESC LIMIT 5;
SELECT day, sum(amount) AS total FROM sale GROUP BY day HAVING total > 1 ORDER BY total DESC, day LIMIT 5;
SELECT count(*), min(name), max(name) FROM item WHERE name LIKE '%f%a%';
UPDATE item SET price = price * 1.5 WHERE id IN (SELECT item FROM sale WHERE day BETWEEN 30 AND 60);
DELETE FROM sale WHERE amount < 3;
SELECT round(sum(price), 2), count(*) FROM item LEFT JOIN sale ON sale.item = item.id AND sale.day < 20;
SELECT name FROM item ORDER BY substr(name, -4), id LIMIT 5;
