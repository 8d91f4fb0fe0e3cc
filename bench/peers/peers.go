package main

import "slices"

// best is the way of Kafka Streams to wait for a window's end that took less CPU time for the job: a cache and suppress save changelog records where a window
// gets many updates in a commit interval; on sliding windows the cache costs more than it saves.
const best = `{{if eq .Job "sliding"}}close{{else}}suppress{{end}}`

// Peers is the table of programs under test. README.md says how each is tuned and why.
func Peers() []Peer {
	everything := Cases()
	windowed := slices.DeleteFunc(Cases(), func(c Case) bool { return c.Job == Map })
	return []Peer{
		andon(),
		flink("flink", "datastream", everything),
		flink("flink-sql", "sql", windowed),
		streams("streams", "memory", best),
		optional(streams("streams-rocksdb", "rocksDB", best)),
		optional(streams("streams-suppress", "memory", "suppress")),
		optional(streams("streams-emit", "memory", "close")),
		benthos(),
	}
}

// java returns the start of a Java peer's command line. Both cores collect garbage while the program stands still: on two cores that costs least.
func java(folder, heap, class string, more ...string) []string {
	target := "{{.Root}}/bench/peers/java/target/" + folder
	return slices.Concat(
		[]string{"java", "-Xms512m", "-Xmx" + heap, "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"},
		more,
		[]string{"-cp", target + "/" + folder + "-1.jar:" + target + "/lib/*", class},
		[]string{
			"--brokers={{.Brokers}}", "--input={{.Input}}", "--output={{.Output}}", "--group={{.Group}}", "--job={{.Job}}", "--guarantee={{.Guarantee}}",
			"--size-ms={{.SizeMS}}", "--slide-ms={{.SlideMS}}", "--lateness-ms={{.LatenessMS}}", "--interval-ms={{.IntervalMS}}",
			"--parallelism={{.Parallelism}}", "--dir={{.Dir}}", "--port={{.Port}}",
		})
}

func flink(name, api string, cases []Case) Peer {
	// Flink's serializers and its off-heap memory reach into these packages of Java 17.
	opens := []string{"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED"}
	return Peer{
		Name: name, Version: "2.2.1", Cases: cases, Build: BuildJava,
		Command: append(java("flink", "2g", "andon.peers.FlinkPeer", opens...), "--api="+api),
	}
}

func streams(name, store, emit string) Peer {
	return Peer{
		Name: name, Version: "4.3.1", Cases: Cases(), Build: BuildJava,
		Command: append(java("streams", "2g", "andon.peers.StreamsPeer"), "--store="+store, "--emit="+emit),
	}
}

func benthos() Peer {
	return Peer{
		Name: "benthos", Version: "4.50.0", Build: BuildBenthos,
		Cases:     []Case{{Tumbling, AtLeastOnce}, {Map, AtLeastOnce}},
		Note:      "windows by the clock on the wall",
		WallClock: true,
		Files:     map[string]string{"benthos.yaml": "configs/benthos.yaml"},
		Command:   []string{"bench/peers/target/benthos", "run", "benthos.yaml"},
	}
}

func optional(p Peer) Peer {
	p.Optional = true
	return p
}
