package andon.peers;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;

/** The command line that the harness gives to every Java peer: --name=value. */
public final class Options {
  private final Map<String, String> values = new HashMap<>();

  public Options(String[] args) {
    for (String arg : args) {
      int at = arg.indexOf('=');
      if (!arg.startsWith("--") || at < 0) {
        throw new IllegalArgumentException("want --name=value, got " + arg);
      }
      values.put(arg.substring(2, at), arg.substring(at + 1));
    }
  }

  public String get(String name) {
    String value = values.get(name);
    if (value == null) {
      throw new IllegalArgumentException("--" + name + " is missing");
    }
    return value;
  }

  public Duration millis(String name) {
    return Duration.ofMillis(Long.parseLong(get(name)));
  }

  public int number(String name) {
    return Integer.parseInt(get(name));
  }

  public boolean exactlyOnce() {
    return get("guarantee").equals("exactly-once");
  }
}
