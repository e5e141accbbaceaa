import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Drives MySQL Connector/J ("mysql") or MariaDB Connector/J ("mariadb") and prints "ok: STEP" for each step that gave
 * what it must. The environment is that of ../python/mysql_steps.py; neither speaks over a Unix socket by itself.
 */
public final class Session {
    /** More than a packet holds, so it comes in several. */
    private static final int LARGE = 20 * 1024 * 1024;

    private static final int LINES = 10_000;
    private static final Map<String, String> ENV = System.getenv();

    private final boolean mysql;
    private final Connection connection;

    private Session(String driver) throws SQLException {
        this.mysql = driver.equals("mysql");
        this.connection = connect(new Properties());
    }

    public static void main(String[] arguments) throws Exception {
        Session session = new Session(arguments[0]);
        session.run();
        session.connection.close();
        System.exit(0);
    }

    private interface Step {
        void run() throws Exception;
    }

    private void run() throws Exception {
        List<String> without = Arrays.asList(ENV.get("DB_WITHOUT").split(","));
        Object[][] steps = {
            {"user", (Step) this::user},
            {"database", (Step) this::database},
            {"prepared", (Step) this::prepared},
            {"error", (Step) this::error},
            {"transaction", (Step) this::transaction},
            {"multi", (Step) this::multi},
            {"large", (Step) this::large},
            {"infile", (Step) this::infile},
            {"change user", mysql ? (Step) this::changeUser : null},
            {"reset", (Step) this::reset},
            {"kill", (Step) this::kill},
            {"attributes", (Step) this::attributes},
            {"compression", (Step) this::compression},
            {"concurrent", (Step) this::concurrent},
        };
        for (Object[] step : steps) {
            if (step[1] != null && !without.contains(step[0])) {
                ((Step) step[1]).run();
                System.out.println("ok: " + step[0]);
            }
        }
    }

    private Connection connect(Properties more) throws SQLException {
        Properties properties = new Properties();
        properties.put("user", ENV.get("DB_USER"));
        properties.put("password", ENV.get("DB_PASSWORD"));
        properties.put("allowMultiQueries", "true");
        properties.put("useServerPrepStmts", "true");
        properties.put("allowLoadLocalInfile", "true");
        properties.put("allowLocalInfile", "true");
        properties.put("connectionAttributes", "program_name:driven");
        boolean encrypted = ENV.get("DB_TLS").equals("on");
        properties.put("sslMode", encrypted ? (mysql ? "REQUIRED" : "trust") : (mysql ? "DISABLED" : "disable"));
        // In clear, the password of caching_sha2_password goes by RSA, with a key that is asked for.
        properties.put("allowPublicKeyRetrieval", "true");
        properties.putAll(more);
        String place = ENV.get("DB_HOST") + ":" + ENV.get("DB_PORT") + "/" + ENV.get("DB_NAME");
        return DriverManager.getConnection((mysql ? "jdbc:mysql://" : "jdbc:mariadb://") + place, properties);
    }

    private static String value(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static void want(String what, Object got, Object wanted) {
        if (got == null ? wanted != null : !got.equals(wanted)) {
            throw new IllegalStateException(what + ": got " + got + ", want " + wanted);
        }
    }

    private void user() throws SQLException {
        want("user", value(connection, "SELECT CURRENT_USER()"), ENV.get("EXPECTED_USER"));
    }

    private void database() throws SQLException {
        want("database", connection.getCatalog(), ENV.get("DB_NAME"));
        connection.setCatalog("information_schema");
        want("other database", value(connection, "SELECT DATABASE()"), "information_schema");
        connection.setCatalog(ENV.get("DB_NAME"));
    }

    private void prepared() throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT ? * 2, CAST(? AS CHAR)")) {
            for (int n = 0; n < 3; n++) {
                statement.setInt(1, n);
                statement.setString(2, "é" + n);
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    want("doubled", rows.getInt(1), 2 * n);
                    want("words", rows.getString(2), "é" + n);
                }
            }
        }
    }

    private void error() throws SQLException {
        try {
            value(connection, "SELECT * FROM nowhere");
            throw new IllegalStateException("a table that is not there went unnoticed");
        } catch (SQLException refused) {
            want("code", refused.getErrorCode(), 1146);
            want("SQLSTATE", refused.getSQLState(), "42S02");
        }
        want("after it", value(connection, "SELECT 1"), "1");
    }

    private void transaction() throws SQLException {
        execute(connection, "CREATE TABLE java_rows (n INT)");
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO java_rows VALUES (?)")) {
            for (int n = 0; n < 1000; n++) {
                insert.setInt(1, n);
                insert.addBatch();
            }
            want("inserted", insert.executeBatch().length, 1000);
        }
        connection.rollback();
        connection.setAutoCommit(true);
        want("rows after the rollback", value(connection, "SELECT COUNT(*) FROM java_rows"), "0");
    }

    private void multi() throws SQLException {
        List<String> values = new ArrayList<>();
        try (Statement statement = connection.createStatement()) {
            for (boolean more = statement.execute("SELECT 1; SELECT 2"); more; more = statement.getMoreResults()) {
                ResultSet rows = statement.getResultSet();
                rows.next();
                values.add(rows.getString(1));
            }
        }
        want("values", values, List.of("1", "2"));
    }

    private void large() throws SQLException {
        String large = "0123456789abcdef".repeat(LARGE / 16);
        want("a large value came back", value(connection, "SELECT '" + large + "'").equals(large), true);
        try (PreparedStatement statement = connection.prepareStatement("SELECT ?")) {
            statement.setString(1, large);
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                want("prepared, too", rows.getString(1).equals(large), true);
            }
        }
    }

    private void infile() throws Exception {
        execute(connection, "CREATE TABLE java_lines (n INT, words TEXT)");
        StringBuilder text = new StringBuilder();
        for (int n = 0; n < LINES; n++) {
            text.append(n).append('\t').append("x".repeat(n % 100)).append('\n');
        }
        InputStream lines = new ByteArrayInputStream(text.toString().getBytes(StandardCharsets.UTF_8));
        try (Statement statement = connection.createStatement()) {
            if (mysql) {
                ((com.mysql.cj.jdbc.JdbcStatement) statement).setLocalInfileInputStream(lines);
            } else {
                statement.unwrap(org.mariadb.jdbc.Statement.class).setLocalInfileInputStream(lines);
            }
            want("lines", statement.executeUpdate("LOAD DATA LOCAL INFILE 'lines' INTO TABLE java_lines"), LINES);
        }
    }

    private void changeUser() throws SQLException {
        try (Connection other = connect(new Properties())) {
            execute(other, "SET @kept = 1");
            other.unwrap(com.mysql.cj.jdbc.JdbcConnection.class).changeUser(ENV.get("DB_USER"), ENV.get("DB_PASSWORD"));
            want("user", value(other, "SELECT CURRENT_USER()"), ENV.get("EXPECTED_USER"));
            want("what the session had", value(other, "SELECT @kept"), null);
        }
    }

    private void reset() throws SQLException {
        Properties more = new Properties();
        more.put("useResetConnection", "true");
        try (Connection other = connect(more)) {
            execute(other, "SET @kept = 1");
            if (mysql) {
                other.unwrap(com.mysql.cj.jdbc.JdbcConnection.class).resetServerState();
            } else {
                other.unwrap(org.mariadb.jdbc.Connection.class).reset();
            }
            want("what the session had", value(other, "SELECT @kept"), null);
        }
    }

    private void kill() throws Exception {
        ExecutorService thread = Executors.newSingleThreadExecutor();
        try (Connection other = connect(new Properties()); Statement statement = other.createStatement()) {
            String id = value(other, "SELECT CONNECTION_ID()");
            Future<String> slept = thread.submit((Callable<String>) () -> {
                try (ResultSet rows = statement.executeQuery("SELECT SLEEP(600)")) {
                    rows.next();
                    return rows.getString(1);
                } catch (SQLException refused) {
                    return String.valueOf(refused.getErrorCode());
                }
            });
            String sleeping =
                "SELECT COUNT(*) FROM information_schema.processlist WHERE id = " + id + " AND info LIKE 'SELECT SLEEP%'";
            while (value(connection, sleeping).equals("0")) {
                Thread.onSpinWait();
            }
            statement.cancel(); // from a connection that the driver makes for it
            // MySQL's SLEEP gives 1 when it is cut short, MariaDB's an error, which one driver knows as its own doing.
            String cut = slept.get();
            want("cut short by " + cut, List.of("0", "1", "1317").contains(cut), true);
            want("same session", value(other, "SELECT CONNECTION_ID()"), id);
        } finally {
            thread.shutdown();
        }
    }

    private void attributes() throws SQLException {
        want("program_name", value(connection, "SELECT attr_value FROM performance_schema.session_connect_attrs "
            + "WHERE processlist_id = CONNECTION_ID() AND attr_name = 'program_name'"), "driven");
    }

    private void compression() throws SQLException {
        Properties more = new Properties();
        more.put("useCompression", "true");
        try (Connection compressed = connect(more);
                Statement statement = compressed.createStatement();
                ResultSet rows = statement.executeQuery("SHOW STATUS LIKE 'Compression'")) {
            rows.next();
            want("the server says so", rows.getString(2), "ON");
            want("compressed", value(compressed, "SELECT REPEAT('z', 5000000)"), "z".repeat(5_000_000));
        }
    }

    private void concurrent() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(20);
        List<Future<String>> answers = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            int n = i;
            answers.add(threads.submit(() -> {
                try (Connection one = connect(new Properties())) {
                    return value(one, "SELECT " + n);
                }
            }));
        }
        for (int n = 0; n < 20; n++) {
            want("answer", answers.get(n).get(), String.valueOf(n));
        }
        threads.shutdown();
    }
}
