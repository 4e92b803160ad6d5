package stompy;

import java.util.ArrayList;
import java.util.List;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.handler.annotation.MessageExceptionHandler;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.stereotype.Controller;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;

/**
 * The application of Spring's guide "Using WebSocket to build an interactive web application", with the same endpoint for
 * SockJS. Each argument is a comma-separated list of properties and starts one more instance: the property
 * `stompy.heartbeat` gives the broker heart-beats and selectors.
 */
@SpringBootApplication
public class Application {
  public static void main(String[] arguments) {
    for (String properties : arguments) {
      new SpringApplicationBuilder(Application.class).run(toOptions(properties));
    }
    System.out.println("All applications have started");
  }

  private static String[] toOptions(String properties) {
    List<String> options = new ArrayList<>();
    for (String property : properties.split(",")) options.add("--" + property);
    return options.toArray(new String[0]);
  }

  @Configuration
  @EnableWebSocketMessageBroker
  public static class Broker implements WebSocketMessageBrokerConfigurer {
    @Value("${stompy.heartbeat:0}")
    private long heartbeat;

    @Override
    public void configureMessageBroker(MessageBrokerRegistry registry) {
      var broker = registry.enableSimpleBroker("/topic", "/queue");
      registry.setApplicationDestinationPrefixes("/app");
      if (heartbeat == 0) return;
      ThreadPoolTaskScheduler scheduler = new ThreadPoolTaskScheduler();
      scheduler.setThreadNamePrefix("heartbeat-");
      scheduler.initialize();
      broker.setTaskScheduler(scheduler).setHeartbeatValue(new long[] {heartbeat, heartbeat});
      broker.setSelectorHeaderName("selector");
    }

    @Override
    public void registerStompEndpoints(StompEndpointRegistry registry) {
      // Pages of other ports, as in the tests, are refused otherwise.
      registry.addEndpoint("/ws").setAllowedOriginPatterns("http://127.0.0.1:*");
      registry.addEndpoint("/sockjs").withSockJS();
    }
  }

  public record Hello(String name) {}

  public record Greeting(String content) {}

  @Controller
  public static class Greetings {
    @MessageMapping("/hello")
    @SendTo("/topic/greetings")
    public Greeting greet(Hello hello) {
      return new Greeting("Hello, " + hello.name() + "!");
    }

    /** Replies only to the sender. */
    @MessageMapping("/whisper")
    @SendToUser("/queue/replies")
    public Greeting whisper(Hello hello) {
      return new Greeting("Psst, " + hello.name());
    }

    @MessageMapping("/fail")
    public void fail() {
      throw new IllegalStateException("this handler always fails");
    }

    @MessageExceptionHandler
    @SendToUser("/queue/errors")
    public String onError(IllegalStateException error) {
      return error.getMessage();
    }
  }
}
