package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The files of the run folder.
const (
	configFile      = "config.xml"
	usersFile       = "users.xml"
	startFile       = "start.sql"
	portsFile       = "ports.tsv"
	logFile         = "engine.log"
	lockFile        = "lock"
	credentialsFile = "credentials.json"
)

// Database is the one database that the users of the embedded server see.
const Database = "andon"

// Login is a user of the server.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Endpoint is where the server listens and who may come in. Owner may do anything to the database; Reader may only select from it.
type Endpoint struct {
	Native string `json:"native"`
	HTTP   string `json:"http"`
	Owner  Login  `json:"owner"`
	Reader Login  `json:"reader"`
}

// ReadCredentials reads the file that Engine.Credentials names.
func ReadCredentials(path string) (Endpoint, error) {
	var e Endpoint
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("read the embedded ClickHouse's credentials: %w", err)
	}
	return e, nil
}

func password() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func sha(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// writeFiles writes what the child reads at its start.
func (e *Engine) writeFiles(native, http int) error {
	ports := filepath.Join(e.run, portsFile)
	if err := os.Remove(ports); err != nil && !os.IsNotExist(err) {
		return err
	}
	memory := int64(e.cfg.Memory)
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(ports)
	for name, text := range map[string]string{
		configFile: fmt.Sprintf(configXML, native, http, memory, memory/2, memory/16, memory/32, filepath.Join(e.run, "user_files")),
		usersFile:  fmt.Sprintf(usersXML, e.cfg.Threads, memory/2, sha(e.at.Owner.Password), sha(e.at.Reader.Password)),
		startFile: "SYSTEM START LISTEN QUERIES ALL;\n" +
			"SELECT getServerPort('tcp_port'), getServerPort('http_port') INTO OUTFILE '" + quoted + "' TRUNCATE FORMAT TSV;\n",
	} {
		if err := writeFile(filepath.Join(e.run, name), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// readPorts returns the ports once the child listens; the file's last newline says that it is whole.
func (e *Engine) readPorts() (native, http string, ok bool) {
	b, err := os.ReadFile(filepath.Join(e.run, portsFile))
	if err != nil || !strings.HasSuffix(string(b), "\n") {
		return "", "", false
	}
	n, h, ok := strings.Cut(strings.TrimSpace(string(b)), "\t")
	if !ok {
		return "", "", false
	}
	for _, p := range []string{n, h} {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return "", "", false
		}
	}
	return "127.0.0.1:" + n, "127.0.0.1:" + h, true
}

func writeCredentials(path string, at Endpoint) error {
	b, err := json.MarshalIndent(at, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

// writeFile replaces a file that only its owner may read, whole or not at all.
func writeFile(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Exactly one listen_host: with two, the ports of the second are other ones. No system logs: they would grow without anyone reading them.
const configXML = `<clickhouse>
  <listen_host>127.0.0.1</listen_host><tcp_port>%d</tcp_port><http_port>%d</http_port>
  <users_config>users.xml</users_config>
  <max_server_memory_usage>%d</max_server_memory_usage>
  <merges_mutations_memory_usage_soft_limit>%d</merges_mutations_memory_usage_soft_limit>
  <mark_cache_size>%d</mark_cache_size><primary_index_cache_size>%d</primary_index_cache_size><uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size><background_merges_mutations_concurrency_ratio>1</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <max_connections>256</max_connections><max_concurrent_queries>64</max_concurrent_queries>
  <user_files_path>%s</user_files_path>
  <merge_tree><number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition></merge_tree>
</clickhouse>
`

// The server's own session logs in as default with no password, so default can have none. It is the one session that default may have: it lives
// as long as the ports are open, so nobody else comes in as default.
// Inserts are not deduplicated unless one asks for it with a token: without a token a table with a window swallows a second equal block, which for a
// sensor at rest is data. deduplicate_insert overrides the older setting.
const usersXML = `<clickhouse>
  <profiles>
    <default></default><local><max_sessions_for_user>1</max_sessions_for_user></local>
    <owner><max_threads>%[1]d</max_threads><deduplicate_insert>disable</deduplicate_insert><insert_deduplicate>0</insert_deduplicate><async_insert>0</async_insert></owner>
    <reader>
      <readonly>2</readonly><max_threads>%[1]d</max_threads>
      <max_execution_time>60</max_execution_time><max_memory_usage>%[2]d</max_memory_usage>
      <max_result_rows>10000000</max_result_rows><max_result_bytes>1073741824</max_result_bytes>
      <constraints>
        <max_execution_time><min>1</min><max>900</max></max_execution_time><max_memory_usage><min>1</min><max>%[2]d</max></max_memory_usage>
        <max_threads><min>1</min><max>%[1]d</max></max_threads><max_result_rows><min>1</min><max>10000000</max></max_result_rows>
        <max_result_bytes><min>1</min><max>1073741824</max></max_result_bytes>
      </constraints>
    </reader>
  </profiles>
  <users>
    <default><no_password/><networks><ip>127.0.0.1</ip></networks><profile>local</profile><quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SELECT ON system.one</query></grants></default>
    <andon><password_sha256_hex>%[3]s</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>owner</profile><quota>default</quota>
      <grants><query>GRANT ALL ON andon.*</query>
        <query>GRANT TABLE ENGINE ON MergeTree, TABLE ENGINE ON ReplacingMergeTree, TABLE ENGINE ON AggregatingMergeTree, TABLE ENGINE ON SummingMergeTree, TABLE ENGINE ON Null</query>
        <query>GRANT SELECT ON system.*</query><query>GRANT KILL QUERY ON *.*</query></grants></andon>
    <reader><password_sha256_hex>%[4]s</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>reader</profile><quota>default</quota>
      <grants><query>GRANT SELECT ON andon.*</query><query>GRANT SELECT ON system.one</query><query>GRANT SELECT ON system.numbers</query></grants></reader>
  </users>
  <quotas><default></default></quotas>
</clickhouse>
`
