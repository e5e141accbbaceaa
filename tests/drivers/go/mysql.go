package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// More than a packet holds, so it comes in several.
const large = 20 << 20

const lines = 10_000

// mysqlConfig is where the environment says to go: see ../python/mysql_steps.py.
func mysqlConfig() (*mysql.Config, error) {
	config := mysql.NewConfig()
	config.User = os.Getenv("DB_USER")
	config.Passwd = os.Getenv("DB_PASSWORD")
	config.DBName = os.Getenv("DB_NAME")
	config.Net, config.Addr = "tcp", os.Getenv("DB_HOST")+":"+os.Getenv("DB_PORT")
	if socket := os.Getenv("DB_SOCKET"); socket != "" {
		config.Net, config.Addr = "unix", socket
	}
	config.MultiStatements = true
	config.ConnectionAttributes = "program_name:driven"
	config.MaxAllowedPacket = 64 << 20
	if os.Getenv("DB_TLS") == "on" {
		if err := mysql.RegisterTLSConfig("unverified", &tls.Config{InsecureSkipVerify: true}); err != nil {
			return nil, err
		}
		config.TLSConfig = "unverified"
	}
	return config, nil
}

func driveMysql() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	config, err := mysqlConfig()
	if err != nil {
		return err
	}
	connector, err := mysql.NewConnector(config) // the DSN that it formats lacks the attributes
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	steps := []struct {
		name string
		run  func(context.Context, *sql.DB, *sql.Conn) error
	}{
		{"user", mysqlUser},
		{"database", mysqlDatabase},
		{"prepared", mysqlPrepared},
		{"error", mysqlError},
		{"transaction", mysqlTransaction},
		{"multi", mysqlMulti},
		{"large", mysqlLarge},
		{"infile", mysqlInfile},
		{"pool", mysqlPool},
		{"kill", mysqlKill},
		{"attributes", mysqlAttributes},
		{"concurrent", mysqlConcurrent},
	}
	without := "," + os.Getenv("DB_WITHOUT") + ","
	for _, step := range steps {
		if strings.Contains(without, ","+step.name+",") {
			continue
		}
		if err := step.run(ctx, db, conn); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		ok(step.name)
	}
	return nil
}

func mysqlUser(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	var user string
	err := conn.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&user)
	return first(err, want("user", user, os.Getenv("EXPECTED_USER")))
}

func mysqlDatabase(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	var name string
	err := conn.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&name)
	return first(err, want("database", name, os.Getenv("DB_NAME")))
}

func mysqlPrepared(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	statement, err := conn.PrepareContext(ctx, "SELECT ? * 2, CAST(? AS CHAR)")
	if err != nil {
		return err
	}
	defer statement.Close()
	for i := 0; i < 3; i++ {
		var doubled int
		var words string
		err := statement.QueryRowContext(ctx, i, "é").Scan(&doubled, &words)
		if err = first(err, want("doubled", doubled, 2*i), want("words", words, "é")); err != nil {
			return err
		}
	}
	return nil
}

func mysqlError(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	var refused *mysql.MySQLError
	_, err := conn.ExecContext(ctx, "SELECT * FROM nowhere")
	if !errors.As(err, &refused) {
		return fmt.Errorf("a table that is not there: %v", err)
	}
	err = want("code", refused.Number, uint16(1146))
	return first(err, want("SQLSTATE", string(refused.SQLState[:]), "42S02"), conn.PingContext(ctx))
}

func mysqlTransaction(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "CREATE TABLE go_rows (n INT)"); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO go_rows VALUES (1), (2)")
	if err = first(err, tx.Rollback()); err != nil {
		return err
	}
	var count int
	err = conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM go_rows").Scan(&count)
	return first(err, want("rows after the rollback", count, 0))
}

func mysqlMulti(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT 1; SELECT 2")
	if err != nil {
		return err
	}
	defer rows.Close()
	for i := 1; i <= 2; i++ {
		var n int
		if !rows.Next() {
			return fmt.Errorf("result %d is missing: %v", i, rows.Err())
		}
		if err = first(rows.Scan(&n), want("value", n, i)); err != nil {
			return err
		}
		if rows.NextResultSet() != (i == 1) {
			return fmt.Errorf("wrong number of results: %v", rows.Err())
		}
	}
	return rows.Err()
}

func mysqlLarge(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	value := strings.Repeat("0123456789abcdef", large/16)
	var back string // with a parameter it is a prepared statement
	err := conn.QueryRowContext(ctx, "SELECT ?", value).Scan(&back)
	if err = first(err, want("a large value came back", back == value, true)); err != nil {
		return err
	}
	err = conn.QueryRowContext(ctx, "SELECT '"+value+"'").Scan(&back)
	return first(err, want("as text, too", back == value, true))
}

func mysqlInfile(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	mysql.RegisterReaderHandler("lines", func() io.Reader {
		var text strings.Builder
		for n := 0; n < lines; n++ {
			fmt.Fprintf(&text, "%d\t%s\n", n, strings.Repeat("x", n%100))
		}
		return strings.NewReader(text.String())
	})
	_, err := conn.ExecContext(ctx, "CREATE TABLE go_lines (n INT, words TEXT)")
	if err != nil {
		return err
	}
	result, err := conn.ExecContext(ctx, "LOAD DATA LOCAL INFILE 'Reader::lines' INTO TABLE go_lines")
	if err != nil {
		return err
	}
	count, err := result.RowsAffected()
	return first(err, want("lines", count, int64(lines)))
}

// mysqlPool leaves a pool its connection: the driver checks that it lives before it is used again.
func mysqlPool(ctx context.Context, db *sql.DB, _ *sql.Conn) error {
	var before, after int
	for _, id := range []*int{&before, &after} {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		err = conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(id)
		if err = first(err, conn.Close()); err != nil {
			return err
		}
	}
	return want("same session", after, before)
}

func mysqlKill(ctx context.Context, db *sql.DB, conn *sql.Conn) error {
	other, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer other.Close()
	var id int
	if err = other.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return err
	}
	slept := make(chan error, 1)
	go func() {
		var cut int
		err := other.QueryRowContext(ctx, "SELECT SLEEP(600)").Scan(&cut)
		slept <- first(err, want("cut short", cut, 1))
	}()
	err = until(func() (bool, error) {
		var count int
		err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ? AND info LIKE 'SELECT SLEEP%'",
			id).Scan(&count)
		return count == 1, err
	})
	if err != nil {
		return err
	}
	if _, err = conn.ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", id)); err != nil {
		return err
	}
	// MySQL's SLEEP gives 1 when it is cut short, MariaDB's an error.
	var refused *mysql.MySQLError
	if err = <-slept; errors.As(err, &refused) {
		err = want("code", refused.Number, uint16(1317))
	}
	return first(err, other.PingContext(ctx))
}

func mysqlAttributes(ctx context.Context, _ *sql.DB, conn *sql.Conn) error {
	var value string
	err := conn.QueryRowContext(ctx, "SELECT attr_value FROM performance_schema.session_connect_attrs "+
		"WHERE processlist_id = CONNECTION_ID() AND attr_name = 'program_name'").Scan(&value)
	return first(err, want("program_name", value, "driven"))
}

func mysqlConcurrent(ctx context.Context, db *sql.DB, _ *sql.Conn) error {
	var group sync.WaitGroup
	failures := make(chan error, 20)
	for i := 0; i < 20; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			var same int
			err := db.QueryRowContext(ctx, "SELECT ?", i).Scan(&same)
			if err = first(err, want("same", same, i)); err != nil {
				failures <- err
			}
		}(i)
	}
	group.Wait()
	close(failures)
	return <-failures
}
