import static io.gatling.javaapi.core.CoreDsl.*;
import static io.gatling.javaapi.http.HttpDsl.*;

import io.gatling.javaapi.core.*;
import io.gatling.javaapi.http.*;
import java.time.Duration;

/** The work of `cargo xtask bench peers` for Gatling. */
public class Peers extends Simulation {
  private static double number(String name) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? 0 : Double.parseDouble(value);
  }

  private final String work = System.getenv("WORK");
  private final int users = (int) number("USERS");
  private final Duration ramp = Duration.ofSeconds((long) number("RAMP"));
  private final Duration think = Duration.ofSeconds((long) number("THINK"));
  private final HttpProtocolBuilder protocol = http.wsBaseUrl(System.getenv("URL"));

  private ChainBuilder say() {
    return exec(
        ws("turn")
            .sendText("hello")
            .await(10)
            .on(ws.checkTextMessage("answer").check(substring("re: "))));
  }

  private ChainBuilder conversation() {
    ChainBuilder open = exec(ws("connect").connect("/")).exitHereIfFailed();
    ChainBuilder close = exec(ws("close").close());
    return switch (work) {
      case "idle" -> open.exec(say()).pause(600);
      case "turns" -> open.forever().on(say());
      case "paced" -> open.forever().on(exec(say()).pause(think));
      case "upgrades" -> forever().on(exec(open).exec(close));
      case "reset" -> open.exec(say()).pause(2).exec(say()).exitHereIfFailed().exec(close);
      default -> open.exec(say()).exec(close);
    };
  }

  {
    ScenarioBuilder scenario = scenario(work).exec(conversation());
    boolean arriving = work.equals("refused") || work.equals("reset") || work.equals("stalled");
    setUp(
            arriving
                ? scenario.injectOpen(
                    constantUsersPerSec(number("RATE")).during((long) number("SECONDS")))
                : scenario.injectOpen(rampUsers(users).during(ramp)))
        .protocols(protocol);
  }
}
