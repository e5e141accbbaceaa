// Drives pgx or lib/pq against the server that PGHOST and PGPORT name, or go-sql-driver/mysql (see mysql.go), and
// prints "ok: STEP" for each step that gave what it must. The first argument names the driver; PGUSER need not be the
// user that the session runs as, which is in EXPECTED_USER.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

func main() {
	drivers := map[string]func() error{"pgx": drivePgx, "pq": drivePq, "mysql": driveMysql}
	drive, known := drivers[strings.Join(os.Args[1:], " ")]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: session pgx|pq|mysql")
		os.Exit(2)
	}
	if err := drive(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ok(step string) { fmt.Println("ok: " + step) }

func want(what string, got, wanted any) error {
	if got != wanted {
		return fmt.Errorf("%s: got %v, want %v", what, got, wanted)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func drivePgx() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)

	var user string
	err = conn.QueryRow(ctx, "SELECT current_user::text").Scan(&user)
	if err = first(err, want("user", user, os.Getenv("EXPECTED_USER"))); err != nil {
		return err
	}
	ok("user")

	for i := 0; i < 3; i++ { // the second and third run use the statement that the first prepared
		var doubled int
		err = conn.QueryRow(ctx, "SELECT $1::int * 2", i).Scan(&doubled)
		if err = first(err, want("doubled", doubled, 2*i)); err != nil {
			return err
		}
	}
	ok("prepared")

	batch := &pgx.Batch{}
	for i := 0; i < 100; i++ {
		batch.Queue("SELECT $1::int + 1", i)
	}
	results := conn.SendBatch(ctx, batch)
	for i := 0; i < 100; i++ {
		var next int
		err = results.QueryRow().Scan(&next)
		if err = first(err, want("next", next, i+1)); err != nil {
			return err
		}
	}
	if err = results.Close(); err != nil {
		return err
	}
	ok("pipeline")

	var refused *pgconn.PgError
	_, err = conn.Exec(ctx, "SELECT 1/0")
	if !errors.As(err, &refused) {
		return fmt.Errorf("division by zero: %v", err)
	}
	var one int
	err = conn.QueryRow(ctx, "SELECT 1").Scan(&one)
	if err = first(err, want("SQLSTATE", refused.Code, "22012"), want("after it", one, 1)); err != nil {
		return err
	}
	ok("error")

	if _, err = conn.Exec(ctx, "CREATE TEMPORARY TABLE numbers (n int, words text)"); err != nil {
		return err
	}
	rows := make([][]any, 10000)
	for i := range rows {
		rows[i] = []any{i, strings.Repeat("x", i%100)}
	}
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"numbers"}, []string{"n", "words"}, pgx.CopyFromRows(rows))
	if err = first(err, want("copied in", copied, int64(len(rows)))); err != nil {
		return err
	}
	tag, err := conn.PgConn().CopyTo(ctx, io.Discard, "COPY numbers TO STDOUT")
	if err = first(err, want("copied out", tag.RowsAffected(), int64(len(rows)))); err != nil {
		return err
	}
	ok("copy")

	large := strings.Repeat("0123456789abcdef", 1<<16)
	var back string
	err = conn.QueryRow(ctx, "SELECT $1::text", large).Scan(&back)
	if err = first(err, want("a large value came back", back == large, true)); err != nil {
		return err
	}
	ok("large")

	other, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer other.Close(ctx)
	_, err = conn.Exec(ctx, "LISTEN pgx_news")
	_, err2 := other.Exec(ctx, "NOTIFY pgx_news, 'hello'")
	if err = first(err, err2); err != nil {
		return err
	}
	news, err := conn.WaitForNotification(ctx)
	if err != nil {
		return err
	}
	if err = want("news", news.Payload, "hello"); err != nil {
		return err
	}
	ok("notify")

	sleeping := make(chan error, 1)
	go func() {
		_, err := other.Exec(ctx, "SELECT 'pgx sleeps', pg_sleep(600)")
		sleeping <- err
	}()
	if err = until(func() (bool, error) {
		var seen bool
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active')",
			other.PgConn().PID()).Scan(&seen)
		return seen, err
	}); err != nil {
		return err
	}
	if err = other.PgConn().CancelRequest(ctx); err != nil {
		return err
	}
	if err = <-sleeping; !errors.As(err, &refused) {
		return fmt.Errorf("cancelled query: %v", err)
	}
	if err = want("SQLSTATE", refused.Code, "57014"); err != nil {
		return err
	}
	ok("cancel")

	var group sync.WaitGroup
	failures := make(chan error, 20)
	for i := 0; i < 20; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			conn, err := pgx.Connect(ctx, "")
			if err != nil {
				failures <- err
				return
			}
			defer conn.Close(ctx)
			var same int
			err = conn.QueryRow(ctx, "SELECT $1::int", i).Scan(&same)
			if err = first(err, want("same", same, i)); err != nil {
				failures <- err
			}
		}(i)
	}
	group.Wait()
	close(failures)
	if err = <-failures; err != nil {
		return err
	}
	ok("concurrent")
	return nil
}

// until waits for a condition of the server; the caller's context bounds it.
func until(condition func() (bool, error)) error {
	for {
		holds, err := condition()
		if holds || err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func drivePq() error {
	db, err := sql.Open("postgres", "")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(5)

	var user string
	err = db.QueryRow("SELECT current_user::text").Scan(&user)
	if err = first(err, want("user", user, os.Getenv("EXPECTED_USER"))); err != nil {
		return err
	}
	ok("user")

	statement, err := db.Prepare("SELECT $1::int * 2")
	if err != nil {
		return err
	}
	for i := 0; i < 3; i++ {
		var doubled int
		err = statement.QueryRow(i).Scan(&doubled)
		if err = first(err, want("doubled", doubled, 2*i)); err != nil {
			return err
		}
	}
	ok("prepared")

	var refused *pq.Error
	_, err = db.Exec("SELECT 1/0")
	if !errors.As(err, &refused) {
		return fmt.Errorf("division by zero: %v", err)
	}
	if err = want("SQLSTATE", string(refused.Code), "22012"); err != nil {
		return err
	}
	ok("error")

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sleeping := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(ctx, "SELECT 'pq sleeps', pg_sleep(600)")
		sleeping <- err
	}()
	if err = until(func() (bool, error) {
		var seen bool
		err := db.QueryRow("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT ''pq sleeps''%' " +
			"AND usename = current_user AND state = 'active')").Scan(&seen)
		return seen, err
	}); err != nil {
		return err
	}
	cancel()
	if err = <-sleeping; !errors.As(err, &refused) {
		return fmt.Errorf("cancelled query: %v", err)
	}
	if err = want("SQLSTATE", string(refused.Code), "57014"); err != nil {
		return err
	}
	ok("cancel")
	return nil
}
